"""Usage objects in the form that each vendor documents, with the one count they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exporter.model import Tokens


@dataclass(frozen=True)
class Example:
    """One documented usage. `shape` is the vendor's name; `by_keys` False where only the operation tells the shape."""

    title: str
    shape: str
    usage: dict[str, Any]
    tokens: Tokens
    by_keys: bool = True


EXAMPLES = [
    Example(
        "openai chat",
        "openai",
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {
                "cached_tokens": 1920,
                "cache_write_tokens": 0,
                "audio_tokens": 0,
                "image_tokens": 0,
                "text_tokens": 2006,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 192,
                "audio_tokens": 0,
                "text_tokens": 108,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        Tokens(2006, 300, 1920, 0, 192),
    ),
    Example(
        "openai chat, rejected predictions are billed inside the completion",
        "openai",
        {
            "prompt_tokens": 10,
            "completion_tokens": 60,
            "total_tokens": 70,
            "completion_tokens_details": {"accepted_prediction_tokens": 10, "rejected_prediction_tokens": 40},
        },
        Tokens(10, 60),
    ),
    Example(
        "azure before the details existed",
        "azure",
        {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9},
        Tokens(8, 1),
    ),
    Example("openai embedding", "openai", {"prompt_tokens": 8, "total_tokens": 8}, Tokens(8, 0)),
    Example(
        "openai responses",
        "openai_responses",
        {
            "input_tokens": 75,
            "input_tokens_details": {
                "cached_tokens": 32,
                "cache_write_tokens": 11,
                "cache_write_tokens_details": {"ttl_30m_tokens": 11, "ttl_12h_tokens": 0},
            },
            "output_tokens": 1186,
            "output_tokens_details": {"reasoning_tokens": 1024},
            "total_tokens": 1261,
        },
        Tokens(75, 1186, 32, 11, 1024),
    ),
    Example(
        "anthropic",
        "anthropic",
        {
            "input_tokens": 41,
            "cache_creation_input_tokens": 2089,
            "cache_read_input_tokens": 16399,
            "cache_creation": {"ephemeral_5m_input_tokens": 2089, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 445,
            "output_tokens_details": {"thinking_tokens": 310},
            "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
            "service_tier": "standard",
            "speed": "standard",
            "inference_geo": "global",
        },
        Tokens(18529, 445, 16399, 2089, 310),
    ),
    Example(
        "anthropic without a cache", "anthropic", {"input_tokens": 12, "output_tokens": 7}, Tokens(12, 7)
    ),
    Example(
        "anthropic with the cache creation only as a split",
        "anthropic",
        {
            "input_tokens": 5,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 20},
            "output_tokens": 7,
        },
        Tokens(125, 7, None, 120),
    ),
    Example(
        "anthropic compaction has its own input, cache and output",
        "anthropic",
        {
            "input_tokens": 2,
            "cache_read_input_tokens": 2615,
            "cache_creation_input_tokens": 559,
            "output_tokens": 97,
            "iterations": [
                {
                    "type": "compaction",
                    "input_tokens": 48,
                    "cache_read_input_tokens": 2615,
                    "cache_creation_input_tokens": 50090,
                    "output_tokens": 496,
                },
                {
                    "type": "message",
                    "input_tokens": 2,
                    "cache_read_input_tokens": 2615,
                    "cache_creation_input_tokens": 559,
                    "output_tokens": 97,
                },
            ],
        },
        Tokens(2 + 2615 + 559 + 48 + 2615 + 50090, 97 + 496, 2615 * 2, 559 + 50090),
    ),
    Example(
        "gemini with tool use and thoughts",
        "gemini",
        {
            "promptTokenCount": 1200,
            "cachedContentTokenCount": 1000,
            "candidatesTokenCount": 58,
            "thoughtsTokenCount": 862,
            "toolUsePromptTokenCount": 30,
            "totalTokenCount": 2150,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 1000},
                {"modality": "IMAGE", "tokenCount": 200},
            ],
            "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 1000}],
            "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 58}],
            "trafficType": "ON_DEMAND",
        },
        Tokens(1230, 920, 1000, None, 862),
    ),
    Example(
        "gemini that stopped while it was thinking",
        "vertex_ai",
        {"promptTokenCount": 10, "thoughtsTokenCount": 40, "totalTokenCount": 50},
        Tokens(10, 40, None, None, 40),
    ),
    Example(
        "gemini that blocked the prompt",
        "gemini",
        {"promptTokenCount": 10, "totalTokenCount": 10},
        Tokens(10, 0),
    ),
    Example(
        "dashscope native",
        "dashscope",
        {
            "input_tokens": 3019,
            "output_tokens": 104,
            "total_tokens": 3123,
            "prompt_tokens_details": {"cached_tokens": 2048},
            "output_tokens_details": {"reasoning_tokens": 60, "text_tokens": 44},
            "image_tokens": 0,
            "video_tokens": 0,
            "audio_tokens": 0,
            "plugins": {"search": {"count": 1}},
        },
        Tokens(3019, 104, 2048, None, 60),
    ),
    Example(
        "dashscope native reasoning without any cache key",
        "dashscope",
        {"input_tokens": 9, "output_tokens": 70, "output_tokens_details": {"reasoning_tokens": 60}},
        Tokens(9, 70, None, None, 60),
    ),
    Example(
        "dashscope native vision model",
        "dashscope",
        {
            "input_tokens": 1300,
            "output_tokens": 20,
            "input_tokens_details": {"image_tokens": 1247, "text_tokens": 53},
            "prompt_tokens_details": {"cached_tokens": 512},
        },
        Tokens(1300, 20, 512),
    ),
    Example(
        "dashscope application, one usage per model",
        "dashscope",
        {
            "models": [
                {"model_id": "qwen-plus", "input_tokens": 72, "output_tokens": 63},
                {"model_id": "qwen-max", "input_tokens": 10, "output_tokens": 5},
            ]
        },
        Tokens(82, 68),
    ),
    Example(
        "dashscope compatible, cache creation is inside the input",
        "dashscope",
        {
            "prompt_tokens": 18628,
            "completion_tokens": 344,
            "total_tokens": 18972,
            "prompt_tokens_details": {
                "text_tokens": 18628,
                "cached_tokens": 0,
                "cache_creation_input_tokens": 18613,
                "cache_creation": {"ephemeral_5m_input_tokens": 18613},
                "cache_type": "ephemeral",
            },
            "completion_tokens_details": {"reasoning_tokens": 170, "text_tokens": 174},
        },
        Tokens(18628, 344, 0, 18613, 170),
    ),
    Example(
        "dashscope cache creation one level deeper",
        "dashscope",
        {
            "prompt_tokens": 900,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cache_creation": {"cache_creation_input_tokens": 800}},
        },
        Tokens(900, 1, None, 800),
    ),
    Example(
        "dashscope cache creation as a split by lifetime",
        "dashscope",
        {
            "input_tokens": 900,
            "output_tokens": 1,
            "prompt_tokens_details": {
                "cached_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 700, "ephemeral_1h_input_tokens": 100},
            },
        },
        Tokens(900, 1, 0, 800),
    ),
    Example(
        "dashscope responses, cache creation in x_details",
        "dashscope",
        {
            "input_tokens": 1540,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 46,
            "output_tokens_details": {"reasoning_tokens": 33},
            "total_tokens": 1586,
            "x_details": [
                {
                    "input_tokens": 1540,
                    "output_tokens": 46,
                    "total_tokens": 1586,
                    "output_tokens_details": {"reasoning_tokens": 33},
                    "prompt_tokens_details": {
                        "cached_tokens": 0,
                        "cache_creation_input_tokens": 1500,
                        "cache_creation": {"ephemeral_5m_input_tokens": 1500},
                        "cache_type": "ephemeral",
                    },
                    "x_billing_type": "response_api",
                }
            ],
        },
        Tokens(1540, 46, 0, 1500, 33),
    ),
    Example(
        "dashscope responses, the cache told nowhere else",
        "dashscope",
        {
            "input_tokens": 120,
            "output_tokens": 40,
            "total_tokens": 160,
            "output_tokens_details": {"reasoning_tokens": 12},
            "x_details": [
                {
                    "x_billing_type": "response_api",
                    "prompt_tokens_details": {"cached_tokens": 60, "cache_creation_input_tokens": 20},
                }
            ],
        },
        Tokens(120, 40, 60, 20, 12),
    ),
    Example("dashscope embedding", "embeddings", {"total_tokens": 26}, Tokens(26, 0), by_keys=False),
    Example(
        "hunyuan native, cached tokens as text",
        "hunyuan",
        {
            "PromptTokens": 20,
            "CompletionTokens": 5,
            "TotalTokens": 25,
            "PromptTokensDetails": {"CachedTokens": "16"},
        },
        Tokens(20, 5, 16),
    ),
    Example(
        "hunyuan native without a cached count",
        "hunyuan",
        {
            "PromptTokens": 20,
            "CompletionTokens": 5,
            "TotalTokens": 25,
            "PromptTokensDetails": {"CachedTokens": ""},
        },
        Tokens(20, 5),
    ),
    Example("hunyuan embedding", "hunyuan", {"PromptTokens": 9, "TotalTokens": 9}, Tokens(9, 0)),
    Example(
        "hunyuan compatible",
        "hunyuan",
        {"prompt_tokens": 3, "completion_tokens": 19, "total_tokens": 22},
        Tokens(3, 19),
    ),
    Example(
        "deepseek hit and miss",
        "deepseek",
        {
            "prompt_tokens": 100,
            "completion_tokens": 40,
            "total_tokens": 140,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 30},
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
        },
        Tokens(100, 40, 64, None, 30),
    ),
    Example(
        "mistral",
        "mistral",
        {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13, "prompt_audio_seconds": 0},
        Tokens(5, 8),
    ),
    Example(
        "groq",
        "groq",
        {
            "queue_time": 0.027,
            "prompt_tokens": 78,
            "prompt_time": 0.0039,
            "completion_tokens": 70,
            "completion_time": 0.056,
            "total_tokens": 148,
            "total_time": 0.06,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 40},
        },
        Tokens(78, 70, 64, None, 40),
    ),
    Example(
        "xai chat, reasoning lies beside the completion",
        "xai",
        {
            "prompt_tokens": 10120,
            "completion_tokens": 1499,
            "total_tokens": 14428,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 2809},
            "cost_in_usd_ticks": 232856000,
        },
        Tokens(10120, 1499 + 2809, 128, None, 2809),
    ),
    Example(
        "xai responses, reasoning lies inside the output",
        "xai",
        {
            "input_tokens": 9212,
            "input_tokens_details": {"cached_tokens": 3072},
            "output_tokens": 3417,
            "output_tokens_details": {"reasoning_tokens": 1200},
            "total_tokens": 12629,
            "cost_in_usd_ticks": 318319000,
        },
        Tokens(9212, 3417, 3072, None, 1200),
    ),
    Example(
        "moonshot, cached tokens at the top",
        "moonshot",
        {"prompt_tokens": 900, "completion_tokens": 10, "total_tokens": 910, "cached_tokens": 768},
        Tokens(900, 10, 768),
    ),
    Example(
        "zhipu glm",
        "zhipu",
        {
            "prompt_tokens": 500,
            "completion_tokens": 90,
            "total_tokens": 590,
            "prompt_tokens_details": {"cached_tokens": 448},
            "completion_tokens_details": {"reasoning_tokens": 70},
        },
        Tokens(500, 90, 448, None, 70),
    ),
    Example(
        "volcengine ark, provisioned tokens are inside",
        "volcengine",
        {
            "prompt_tokens": 1000,
            "completion_tokens": 200,
            "total_tokens": 1200,
            "prompt_tokens_details": {
                "cached_tokens": 300,
                "provisioned_tokens": 700,
                "audio_tokens": 0,
                "audio_cached_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 150,
                "provisioned_tokens": 200,
                "audio_tokens": 0,
            },
        },
        Tokens(1000, 200, 300, None, 150),
    ),
    Example(
        "openrouter",
        "openrouter",
        {
            "prompt_tokens": 194,
            "completion_tokens": 2,
            "total_tokens": 196,
            "cost": 0.00095,
            "is_byok": False,
            "cost_details": {"upstream_inference_cost": None},
            "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 50, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        Tokens(194, 2, 100, 50, 0),
    ),
    Example(
        "vllm without prompt details",
        "vllm",
        {"prompt_tokens": 15, "total_tokens": 16, "completion_tokens": 1, "prompt_tokens_details": None},
        Tokens(15, 1),
    ),
    Example(
        "litellm repeats anthropic's names beside its inclusive input",
        "openai",
        {
            "prompt_tokens": 18529,
            "completion_tokens": 445,
            "total_tokens": 18974,
            "cache_read_input_tokens": 16399,
            "cache_creation_input_tokens": 2089,
        },
        Tokens(18529, 445, 16399, 2089),
    ),
    Example(
        "bedrock converse",
        "bedrock",
        {
            "inputTokens": 40,
            "outputTokens": 100,
            "totalTokens": 140,
            "cacheReadInputTokens": 1000,
            "cacheWriteInputTokens": 60,
            "cacheDetails": [{"ttl": "5m", "inputTokens": 60}],
        },
        Tokens(1100, 100, 1000, 60),
    ),
    Example(
        "bedrock invoke-model metrics",
        "bedrock",
        {
            "inputTokenCount": 15,
            "outputTokenCount": 5,
            "cacheReadInputTokenCount": 3,
            "cacheWriteInputTokenCount": 2,
            "invocationLatency": 812,
            "firstByteLatency": 340,
        },
        Tokens(20, 5, 3, 2),
    ),
    Example(
        "bedrock invocation log",
        "bedrock",
        {
            "input": {
                "inputContentType": "application/json",
                "inputTokenCount": 1500,
                "cacheReadInputTokenCount": 200,
                "cacheWriteInputTokenCount": 0,
            },
            "output": {"outputContentType": "application/json", "outputTokenCount": 500},
        },
        Tokens(1700, 500, 200, 0),
    ),
    Example(
        "claude on bedrock speaks anthropic's language",
        "bedrock",
        {"input_tokens": 4, "cache_read_input_tokens": 90, "output_tokens": 6},
        Tokens(94, 6, 90),
    ),
    Example(
        "qwen behind an anthropic endpoint",
        "dashscope",
        {
            "input_tokens": 4,
            "cache_read_input_tokens": 90,
            "cache_creation_input_tokens": 0,
            "output_tokens": 6,
        },
        Tokens(94, 6, 90, 0),
    ),
    Example(
        "cohere chat, floats, real tokens and not billed units",
        "cohere",
        {
            "billed_units": {"input_tokens": 5.0, "output_tokens": 418.0},
            "tokens": {"input_tokens": 71.0, "output_tokens": 418.0},
            "cached_tokens": 64.0,
        },
        Tokens(71, 418, 64),
    ),
    Example("cohere embed", "cohere", {"billed_units": {"input_tokens": 6.0, "images": None}}, Tokens(6, 0)),
    Example(
        "cohere rerank is billed in searches", "cohere", {"billed_units": {"search_units": 1.0}}, Tokens()
    ),
    Example("jina embedding", "jina", {"total_tokens": 7, "prompt_tokens": 7}, Tokens(7, 0)),
    Example("jina rerank", "jina", {"total_tokens": 815}, Tokens(815, 0), by_keys=False),
    Example("voyage rerank", "voyage", {"total_tokens": 26}, Tokens(26, 0), by_keys=False),
    Example("ollama", "ollama", {"prompt_eval_count": 26, "eval_count": 298}, Tokens(26, 298)),
    Example("ollama that answered from its prompt cache", "ollama", {"eval_count": 298}, Tokens(None, 298)),
    Example("ollama embedding", "embeddings", {"prompt_eval_count": 8}, Tokens(8, 0), by_keys=False),
]
