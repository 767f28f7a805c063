"""Which number to use for what: how each is made, and what it never includes. Shown in every HTML report; docs/definitions.md is
written from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """One number: its name, how it is made, what it never includes, and whom it serves for what."""

    name: str
    made: str
    never: str
    use: str


ENGLISH = (
    Definition(
        "Dify",
        "What Dify stored of a call: usually the usage that the model plugin passed on, sometimes the plugin's own estimate, "
        "sometimes a number weighted by price. Each reading says which.",
        "Titles, suggested questions, embeddings and reranks; calls that were stopped, cut off or lost; retries inside the "
        "plugin.",
        "Product: usage by app, conversation and user, day by day. Never for paying a bill.",
    ),
    Definition(
        "Local",
        "Our own count of the texts that Dify kept (or of the whole request, where a gateway logged it), with the model's "
        "own vocabulary where that is public. Each reading says how exact it is.",
        "What nobody kept: reasoning, pictures, tool lists that were not logged; what a vendor adds by itself.",
        "Engineering: a second opinion that no vendor can change. It proves neither side right alone.",
    ),
    Definition(
        "Vendor",
        "What the vendor returned with each request, as a gateway, a log or a recorder between wrote it down; all billed "
        "attempts of a call together.",
        "Requests that went past the gateway; usage of an answer that nobody counted.",
        "Engineering and finance: the number that the bill is made of, call by call.",
    ),
    Definition(
        "Bill",
        "What the vendor's usage report, cost report or invoice says of a day, a project or a key. It knows no single call.",
        "Which app or conversation caused it; often the last hours or days, which vendors still correct.",
        "Finance: what is paid. Compare it in whole days of the vendor's time zone.",
    ),
    Definition(
        "Difference",
        "Vendor minus Dify over the calls that both are known of. The findings and the unexplained rest add up to it.",
        "Calls without a vendor's number; they are counted apart.",
        "Everybody: how far Dify's dashboard is from the bill, and why.",
    ),
    Definition(
        "Unexplained",
        "What is left of the difference when every cause that the data proves has been taken away. Rests of single calls are "
        "added without their sign, so that they cannot hide each other.",
        "Anything guessed: a cause is named only when the numbers or the record prove it.",
        "Everybody: how far the page can be trusted. Above the tolerance it is a reason to look closer.",
    ),
    Definition(
        "Cost",
        "Dify: as recorded, with the prices of the plugin. Vendor: the charge itself where it is told, else the vendor's tokens "
        "at the price book's rates. Local: our count at the same rates. Amounts in different currencies are never added.",
        "Discounts, credits, taxes and prepaid packages, unless the charge or your price file has them. An unknown price "
        "stays unknown.",
        "Finance: what a cause costs. Engineering: which model or app to look at first.",
    ),
)
CHINESE = (
    Definition(
        "Dify",
        "Dify 为一次调用保存的数字：通常是模型插件转交的用量，有时是插件自己的估算，有时是按价格加权后的数字。每个读数都会说明属于哪一种。",
        "标题、推荐问题、向量和重排序；被停止、中断或丢失的调用；插件内部的重试。",
        "产品：按应用、会话和用户逐日查看用量。不要用它付账。",
    ),
    Definition(
        "本地",
        "我们对 Dify 保存的文本（或网关记录的完整请求）自行计数，在词表公开时使用模型自己的词表。每个读数都会说明精确程度。",
        "没有人保存的内容：推理过程、图片、未记录的工具列表；供应商自行添加的内容。",
        "研发：任何供应商都无法改动的第二意见。单凭它不能证明哪一方正确。",
    ),
    Definition(
        "供应商",
        "供应商随每个请求返回的用量，由中间的网关、日志或记录器写下；一次调用的所有计费尝试合计。",
        "绕过网关的请求；没有人计数的回答的用量。",
        "研发和财务：账单由它构成，逐次调用。",
    ),
    Definition(
        "账单",
        "供应商的用量报告、费用报告或发票对某一天、某个项目或某个密钥的说法。它不知道单次调用。",
        "由哪个应用或会话引起；常常缺少最近几小时或几天，供应商之后还会修正。",
        "财务：实际支付的金额。请按供应商时区的整天来比较。",
    ),
    Definition(
        "差额",
        "在双方都已知的调用上，供应商减去 Dify。各项原因与未解释部分之和等于差额。",
        "没有供应商数字的调用，它们单独计数。",
        "所有人：Dify 的面板离账单有多远，以及为什么。",
    ),
    Definition(
        "未解释",
        "差额中扣除数据能证明的每个原因之后剩下的部分。单次调用的余数按绝对值相加，因此不会互相抵消。",
        "任何猜测：只有数字或记录能证明时才会指出原因。",
        "所有人：这一页可信到什么程度。超过容差就值得仔细查看。",
    ),
    Definition(
        "费用",
        "Dify：按插件的价格记录的费用。供应商：已知时为实际收费，否则为供应商的令牌数乘以价目表。本地：我们的计数乘以同样的价格。不同币种的金额绝不相加。",
        "折扣、赠额、税费和预付套餐，除非收费本身或您的价格文件里有。未知的价格保持未知。",
        "财务：每个原因值多少钱。研发：先看哪个模型或应用。",
    ),
)
BY_LANGUAGE = {"en": ENGLISH, "zh": CHINESE}


def markdown() -> str:
    """docs/definitions.md."""
    parts = [
        "# Which number to use for what",
        "<!-- Written by docs/generate_tables.py from exporter/report/definitions.py. -->",
        "Product looks at Dify, finance at the bill, engineers at Langfuse. All three can be right, because each counts something "
        "else. Every HTML report ends with this page, in English or Chinese.",
    ]
    parts += [
        f"## {item.name}\n\n- **How it is made.** {item.made}\n- **What it never includes.** {item.never}\n"
        f"- **Whom it serves.** {item.use}"
        for item in ENGLISH
    ]
    return "\n\n".join(parts) + "\n"
