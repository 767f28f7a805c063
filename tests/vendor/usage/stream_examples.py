"""Streams as the vendors document them, event by event, with the count of the request and whether it is final."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exporter.model import Tokens

Event = dict[str, Any]


@dataclass(frozen=True)
class Stream:
    """One documented stream that ran to its end."""

    title: str
    shape: str
    events: list[Event]
    tokens: Tokens


def chat_chunk(usage: object = None, finish: str | None = None, **more: object) -> Event:
    """A Chat Completions chunk with one piece of text."""
    choice = {"index": 0, "delta": {"content": "word "}, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "choices": [choice], "usage": usage, **more}


def closing_chunk(usage: object) -> Event:
    """The extra chunk of `stream_options.include_usage`."""
    return {"object": "chat.completion.chunk", "choices": [], "usage": usage}


def counted(given: int, written: int) -> dict[str, int]:
    """A Chat Completions usage."""
    return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}


MESSAGE_START: Event = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "content": [],
        "stop_reason": None,
        "usage": {
            "input_tokens": 41,
            "cache_creation_input_tokens": 2089,
            "cache_read_input_tokens": 16399,
            "cache_creation": {"ephemeral_5m_input_tokens": 2089, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
MESSAGE_DELTA: Event = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 445, "output_tokens_details": {"thinking_tokens": 310}},
}
ANTHROPIC: list[Event] = [
    MESSAGE_START,
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word"}},
    {"type": "content_block_stop", "index": 0},
    MESSAGE_DELTA,
    {"type": "message_stop"},
]


def dashscope_event(written: int, finish: str = "null", given: int = 22) -> Event:
    """A native DashScope event; the count so far."""
    return {
        "output": {
            "choices": [{"message": {"role": "assistant", "content": "word"}, "finish_reason": finish}]
        },
        "usage": {
            "input_tokens": given,
            "output_tokens": written,
            "total_tokens": given + written,
            "prompt_tokens_details": {"cached_tokens": 16},
        },
        "request_id": "6f6b2f1e",
    }


def hunyuan_event(written: int, finish: str = "") -> Event:
    """A native Hunyuan event; the count so far."""
    return {
        "Choices": [{"FinishReason": finish, "Delta": {"Role": "assistant", "Content": "word"}}],
        "Usage": {
            "PromptTokens": 7,
            "CompletionTokens": written,
            "TotalTokens": 7 + written,
            "PromptTokensDetails": {"CachedTokens": "4"},
        },
        "Id": "1",
    }


def gemini_chunk(finish: str | None = None, **counts: int) -> Event:
    """A Gemini chunk."""
    candidate: Event = {"content": {"parts": [{"text": "word"}]}, "index": 0}
    return {
        "candidates": [{**candidate, "finishReason": finish} if finish else candidate],
        "usageMetadata": counts,
    }


STREAMS = [
    Stream(
        "openai with the usage in an extra chunk",
        "openai",
        [chat_chunk(), chat_chunk(), chat_chunk(finish="stop"), closing_chunk(counted(10, 20))],
        Tokens(10, 20),
    ),
    Stream(
        "azure begins with the filter's results",
        "openai",
        [
            {"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "usage": None},
            chat_chunk(),
            chat_chunk(finish="stop"),
            closing_chunk(counted(10, 20)),
        ],
        Tokens(10, 20),
    ),
    Stream(
        "zhipu with the usage beside the finish reason",
        "openai",
        [chat_chunk(), chat_chunk(counted(10, 20), "stop")],
        Tokens(10, 20),
    ),
    Stream(
        "deepseek after keep-alive comments that never were events",
        "deepseek",
        [chat_chunk(), chat_chunk({**counted(10, 20), "prompt_cache_hit_tokens": 8}, "stop")],
        Tokens(10, 20, 8),
    ),
    Stream(
        "tencent compatible repeats the usage in every chunk",
        "openai",
        [*(chat_chunk(counted(7, written)) for written in range(1, 9)), chat_chunk(counted(7, 9), "stop")],
        Tokens(7, 9),
    ),
    Stream(
        "vllm with continuous usage and a closing chunk",
        "openai",
        [
            *(chat_chunk(counted(15, written)) for written in range(6)),
            chat_chunk(counted(15, 6), "stop"),
            closing_chunk(counted(15, 6)),
        ],
        Tokens(15, 6),
    ),
    Stream(
        "groq with x_groq.usage",
        "openai",
        [
            {"choices": [], "x_groq": {"id": "req_1"}},
            chat_chunk(),
            chat_chunk(finish="stop", x_groq={"id": "req_1", "usage": {**counted(10, 5), "queue_time": 0.1}}),
        ],
        Tokens(10, 5),
    ),
    Stream(
        "moonshot with the usage inside the choice",
        "openai",
        [
            chat_chunk(),
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {},
                        "finish_reason": "stop",
                        "usage": {**counted(12, 14), "cached_tokens": 8},
                    }
                ]
            },
        ],
        Tokens(12, 14, 8),
    ),
    Stream(
        "openrouter with the usage in the last message",
        "openai",
        [
            chat_chunk(),
            chat_chunk(finish="stop"),
            {
                "choices": [
                    {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
                ],
                "usage": {**counted(194, 2), "cost": 0.00095, "is_byok": False},
            },
        ],
        Tokens(194, 2),
    ),
    Stream(
        "several answers, counted as a whole",
        "openai",
        [
            {"choices": [{"index": 0, "finish_reason": None}], "usage": counted(5, 3)},
            {"choices": [{"index": 1, "finish_reason": None}], "usage": counted(5, 2)},
            {"choices": [{"index": 0, "finish_reason": "stop"}], "usage": counted(5, 4)},
            {"choices": [{"index": 1, "finish_reason": "stop"}], "usage": counted(5, 3)},
            closing_chunk(counted(5, 7)),
        ],
        Tokens(5, 7),
    ),
    Stream(
        "openai responses",
        "openai_responses",
        [
            {"type": "response.created", "response": {"status": "in_progress", "usage": None}},
            {"type": "response.output_text.delta", "delta": "word"},
            {
                "type": "response.completed",
                "response": {
                    "status": "completed",
                    "usage": {
                        "input_tokens": 75,
                        "input_tokens_details": {"cached_tokens": 32},
                        "output_tokens": 1186,
                        "output_tokens_details": {"reasoning_tokens": 1024},
                    },
                },
            },
        ],
        Tokens(75, 1186, 32, None, 1024),
    ),
    Stream(
        "openai responses that reached its limit",
        "openai_responses",
        [
            {"type": "response.created", "response": {"status": "in_progress"}},
            {"type": "response.incomplete", "response": {"usage": {"input_tokens": 5, "output_tokens": 16}}},
        ],
        Tokens(5, 16),
    ),
    Stream("anthropic", "anthropic", ANTHROPIC, Tokens(18529, 445, 16399, 2089, 310)),
    Stream(
        "anthropic that repeats and corrects the input in message_delta",
        "anthropic",
        [
            MESSAGE_START,
            {
                **MESSAGE_DELTA,
                "usage": {
                    "input_tokens": 10682,
                    "cache_creation_input_tokens": None,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 510,
                },
            },
        ],
        Tokens(10682 + 2089, 510, 0, 2089),
    ),
    Stream(
        "gemini, cumulative, with fields that only some chunks repeat",
        "gemini",
        [
            gemini_chunk(promptTokenCount=12, thoughtsTokenCount=40, totalTokenCount=52),
            gemini_chunk(
                promptTokenCount=12, candidatesTokenCount=5, thoughtsTokenCount=40, totalTokenCount=57
            ),
            gemini_chunk("STOP", promptTokenCount=12, candidatesTokenCount=9, totalTokenCount=61),
        ],
        Tokens(12, 49, None, None, 40),
    ),
    Stream(
        "gemini that blocked the prompt",
        "gemini",
        [
            {
                "promptFeedback": {"blockReason": "SAFETY"},
                "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
            }
        ],
        Tokens(9, 0),
    ),
    Stream(
        "dashscope native",
        "dashscope",
        [dashscope_event(1), dashscope_event(6), dashscope_event(6, "stop")],
        Tokens(22, 6, 16),
    ),
    Stream(
        "dashscope native with plain text output",
        "dashscope",
        [
            {
                "output": {"text": "w", "finish_reason": "null"},
                "usage": {"input_tokens": 3, "output_tokens": 1},
            },
            {
                "output": {"text": "word", "finish_reason": "stop"},
                "usage": {"input_tokens": 3, "output_tokens": 2},
            },
        ],
        Tokens(3, 2),
    ),
    Stream(
        "hunyuan native",
        "hunyuan",
        [hunyuan_event(1), hunyuan_event(3), hunyuan_event(4, "stop")],
        Tokens(7, 4, 4),
    ),
    Stream(
        "bedrock converse stream",
        "bedrock",
        [
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "word"}, "contentBlockIndex": 0}},
            {"messageStop": {"stopReason": "end_turn"}},
            {
                "metadata": {
                    "usage": {
                        "inputTokens": 40,
                        "outputTokens": 100,
                        "totalTokens": 140,
                        "cacheReadInputTokens": 1000,
                    },
                    "metrics": {"latencyMs": 900},
                }
            },
        ],
        Tokens(1040, 100, 1000),
    ),
    Stream(
        "bedrock converse stream, payloads without their event name",
        "bedrock",
        [
            {"role": "assistant", "p": "ab"},
            {"contentBlockIndex": 0, "delta": {"text": "word"}, "p": "abc"},
            {"stopReason": "end_turn", "p": "a"},
            {
                "usage": {"inputTokens": 40, "outputTokens": 100, "totalTokens": 140},
                "metrics": {"latencyMs": 9},
            },
        ],
        Tokens(40, 100),
    ),
    Stream(
        "bedrock invoke-model stream of a model without usage",
        "bedrock",
        [
            {"generation": "word", "prompt_token_count": 15, "generation_token_count": 1},
            {
                "generation": "",
                "stop_reason": "stop",
                "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 15,
                    "outputTokenCount": 5,
                    "invocationLatency": 812,
                },
            },
        ],
        Tokens(15, 5),
    ),
    Stream(
        "claude on bedrock, its own usage is richer than the metrics",
        "anthropic",
        [
            *ANTHROPIC[:-1],
            {
                "type": "message_stop",
                "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 41,
                    "outputTokenCount": 445,
                    "cacheReadInputTokenCount": 16399,
                    "cacheWriteInputTokenCount": 2089,
                },
            },
        ],
        Tokens(18529, 445, 16399, 2089, 310),
    ),
    Stream(
        "cohere v2",
        "cohere",
        [
            {"type": "message-start", "delta": {"message": {"role": "assistant"}}},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "word"}}}},
            {
                "type": "message-end",
                "delta": {
                    "finish_reason": "COMPLETE",
                    "usage": {
                        "billed_units": {"input_tokens": 5, "output_tokens": 418},
                        "tokens": {"input_tokens": 71, "output_tokens": 418},
                    },
                },
            },
        ],
        Tokens(71, 418),
    ),
    Stream(
        "cohere v1",
        "cohere",
        [
            {"event_type": "text-generation", "text": "word"},
            {
                "event_type": "stream-end",
                "response": {
                    "text": "word",
                    "meta": {
                        "billed_units": {"input_tokens": 5, "output_tokens": 4},
                        "tokens": {"input_tokens": 70, "output_tokens": 4},
                    },
                },
            },
        ],
        Tokens(70, 4),
    ),
    Stream(
        "ollama",
        "ollama",
        [
            {"model": "llama3", "message": {"role": "assistant", "content": "word"}, "done": False},
            {
                "model": "llama3",
                "message": {"role": "assistant", "content": ""},
                "done": True,
                "done_reason": "stop",
                "total_duration": 4883583458,
                "prompt_eval_count": 26,
                "eval_count": 298,
            },
        ],
        Tokens(26, 298),
    ),
]
