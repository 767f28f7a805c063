"""What the columns of exported usage and bills are called, by who exported them. Data only.

Headings are compared without case, spaces, underscores and punctuation. Consoles rename columns without notice: what is
not found can be named in the settings' `columns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FIELDS = (
    "time", "end", "model", "key", "input", "output", "cache_read", "cache_write", "reasoning", "uncached_input",
    "requests", "cost", "currency", "part", "type", "quantity", "unit", "product",
)  # fmt: skip
"""What a column may be. `uncached_input`: input to which cache reads and writes are added. `type`, `quantity` and `unit`:
one row per kind of usage. `product`: what rows of other products are left out by. Counts that stand in several columns are
added up; of other fields the first column with a value is taken."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One console's export. `columns`: our field → its headings. `products`: parts of names that `product` has for models;
    empty: every row. `types`: parts of names that `type` has → the fields that `quantity` is."""

    columns: Mapping[str, tuple[str, ...]]
    time_zone: str = "UTC"
    currency: str = ""
    products: tuple[str, ...] = ()
    types: tuple[tuple[str, tuple[str, ...]], ...] = ()
    has_model_in_part: bool = False  # `gpt-5-mini, input_tokens`


_TOKEN_TYPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cachehit", ("input", "cache_read")),
    ("cachemiss", ("input",)),
    ("cacheread", ("input", "cache_read")),
    ("cachewrite", ("input", "cache_write")),
    ("缓存命中", ("input", "cache_read")),
    ("缓存", ("input", "cache_read")),
    ("request", ("requests",)),
    ("调用次数", ("requests",)),
    ("input", ("input",)),
    ("输入", ("input",)),
    ("output", ("output",)),
    ("输出", ("output",)),
)
"""The first that fits decides."""

_CLOUD_TYPES = tuple((name, fields) for name, fields in _TOKEN_TYPES if fields != ("requests",))

PRESETS: Mapping[str, Preset] = {
    "openai-usage": Preset({
        "time": ("start_time", "start_time_iso"), "end": ("end_time", "end_time_iso"), "model": ("model",),
        "key": ("api_key_id", "api_key_name", "project_id", "project_name"),
        "input": ("input_tokens", "n_context_tokens_total"), "output": ("output_tokens", "n_generated_tokens_total"),
        "cache_read": ("input_cached_tokens",), "requests": ("num_model_requests", "num_requests", "n_requests"),
    }),
    "openai-costs": Preset({
        "time": ("start_time", "start_time_iso"), "end": ("end_time", "end_time_iso"), "part": ("line_item",),
        "key": ("api_key_id", "project_id", "project_name"), "cost": ("amount_value", "cost_in_major", "amount"),
        "currency": ("amount_currency", "currency"),
    }, has_model_in_part=True),
    "anthropic": Preset({
        "time": ("usage_date_utc", "date", "starting_at"), "model": ("model_version", "model"),
        "key": ("api_key", "api_key_id", "workspace"), "part": ("usage_type", "token_type", "cost_type"),
        "uncached_input": ("usage_input_tokens_no_cache", "uncached_input_tokens"),
        "cache_write": (
            "usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h", "cache_creation_input_tokens",
        ),
        "cache_read": ("usage_input_tokens_cache_read", "cache_read_input_tokens"),
        "output": ("usage_output_tokens", "output_tokens"), "cost": ("cost_usd",),
    }, currency="USD"),
    "azure-cost": Preset({
        "time": ("Date", "UsageDateTime", "UsageDate"), "key": ("ResourceId", "InstanceId", "InstanceName"),
        "part": ("MeterName", "Meter"), "cost": ("CostInBillingCurrency", "PreTaxCost", "Cost"),
        "currency": ("BillingCurrency", "BillingCurrencyCode", "Currency"),
        "product": ("MeterCategory", "ServiceName", "ConsumedService"),
    }, products=("cognitiveservices", "openai", "foundry", "aiservices")),
    "aws-cur": Preset({
        "time": ("lineItem/UsageStartDate", "line_item_usage_start_date"),
        "model": ("product/model", "product_model"), "key": ("lineItem/ResourceId", "line_item_resource_id"),
        "part": ("lineItem/UsageType", "line_item_usage_type"),
        "cost": ("lineItem/UnblendedCost", "line_item_unblended_cost"),
        "currency": ("lineItem/CurrencyCode", "line_item_currency_code"),
        "product": ("product/ProductName", "product_product_name", "lineItem/ProductCode", "line_item_product_code"),
    }, products=("bedrock",)),
    "aliyun-bill": Preset({
        "time": ("账单日期", "消费时间", "BillingDate", "日期", "账单月份", "账期", "BillingCycle"),
        "model": ("模型", "模型名称", "Model"), "key": ("实例ID", "InstanceID", "APIKEY", "地域", "Region"),
        "part": ("计费项", "计费项名称", "BillingItem"), "type": ("计费项", "计费项名称", "BillingItem"),
        "quantity": ("用量", "Usage"), "unit": ("用量单位", "UsageUnit"),
        "cost": ("应付金额", "应付金额(元)", "PretaxAmount"), "currency": ("币种", "Currency"),
        "product": ("产品", "产品名称", "商品名称", "ProductName", "产品Code", "ProductCode"),
    }, "Asia/Shanghai", "CNY", ("百炼", "大模型", "灵积", "bailian", "dashscope", "modelstudio", "sfm"), _CLOUD_TYPES),
    "tencent-bill": Preset({
        "time": ("账单日期", "使用开始时间", "扣费时间", "BillDay", "FeeBeginTime", "PayTime"),
        "key": ("资源ID", "ResourceId", "项目名称", "地域"), "part": ("组件名称", "组件类型", "ComponentCodeName"),
        "type": ("组件名称", "组件类型", "ComponentCodeName"), "quantity": ("组件用量", "用量", "UsedAmount"),
        "unit": ("组件用量单位", "用量单位", "UsedAmountUnit"),
        "cost": ("优惠后总价", "优惠后总价(元)", "RealTotalCost", "RealCost"), "currency": ("币种", "Currency"),
        "product": ("产品名称", "BusinessCodeName", "子产品名称", "ProductCodeName"),
    }, "Asia/Shanghai", "CNY", ("混元", "大模型", "hunyuan", "tokenhub", "deepseek"), _CLOUD_TYPES),
    "volcengine-bill": Preset({
        "time": ("消费日期", "费用时间", "消费开始时间", "ExpenseDate", "ExpenseBeginTime", "账期", "BillPeriod"),
        "model": ("配置名称", "ConfigName"), "key": ("实例ID", "InstanceNo", "项目", "Project"),
        "part": ("计费项", "Element"), "type": ("计费项", "Element"), "quantity": ("用量", "Count", "Usage"),
        "unit": ("单位", "用量单位", "Unit"), "cost": ("应付金额", "PayableAmount"), "currency": ("币种", "Currency"),
        "product": ("产品", "产品名称", "Product"),
    }, "Asia/Shanghai", "CNY", ("方舟", "大模型", "豆包", "ark", "doubao"), _CLOUD_TYPES),
    "deepseek": Preset({
        "time": ("utc_date", "date"), "model": ("model",), "key": ("api_key_name", "api_key"),
        "type": ("type",), "quantity": ("amount",), "cost": ("cost",), "currency": ("currency",),
        "part": ("wallet_type",),
    }, types=_TOKEN_TYPES),
    "openrouter": Preset({
        "time": ("created_at", "date"), "model": ("model_permaslug", "model"),
        "key": ("api_key_name", "app_name"), "part": ("provider_name",),
        "input": ("tokens_prompt", "prompt_tokens"), "output": ("tokens_completion", "completion_tokens"),
        "reasoning": ("tokens_reasoning", "reasoning_tokens"), "cache_read": ("tokens_cached",),
        "requests": ("requests",), "cost": ("cost_total", "usage"),
    }, currency="USD"),
}  # fmt: skip
