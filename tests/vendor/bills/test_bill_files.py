"""Exported usage and bills: the presets' headings, every row accounted for, and the same file twice."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exporter.clock import micros
from exporter.config import BillSettings
from exporter.errors import Misconfigured
from exporter.vendor.bills.imports import Imported, read_file
from exporter.vendor.bills.presets import PRESETS
from tests.vendor.bills.taking import account, total

DAY = timedelta(days=1)
SHANGHAI = timezone(timedelta(hours=8))

OPENAI_USAGE = """\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,api_key_id,model,batch,input_tokens,output_tokens,input_cached_tokens
1795392000,1795478400,2026-11-23T00:00:00+00:00,2026-11-24T00:00:00+00:00,proj_a,41,key_b,gpt-5-mini-2025-08-07,False,98210,12034,66560
1795392000,1795478400,2026-11-23T00:00:00+00:00,2026-11-24T00:00:00+00:00,proj_a,2,,gpt-5-mini-2025-08-07,False,10,5,0
"""
OPENAI_COSTS = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id
1795392000,1795478400,2026-11-23T00:00:00+00:00,2026-11-24T00:00:00+00:00,0.0600000000001,usd,"gpt-5-mini, input_tokens",proj_a
1795392000,1795478400,2026-11-23T00:00:00+00:00,2026-11-24T00:00:00+00:00,1E-7,usd,web search tool calls,proj_a
"""
ANTHROPIC = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count
2026-11-23,claude-sonnet-5,dify,Default,standard,0-200k,1500,500,20,200,445,0
"""
DEEPSEEK = """\
user_id,utc_date,model,api_key_name,api_key,type,price,amount
u1,2026-11-23,deepseek-chat,dify,sk-1***,input_cache_hit_tokens,0.00000007,"1,024"
u1,2026-11-23,deepseek-chat,dify,sk-1***,input_cache_miss_tokens,0.00000027,300
u1,2026-11-23,deepseek-chat,dify,sk-1***,output_tokens,0.0000011,210
u1,2026-11-23,deepseek-chat,dify,sk-1***,request_count,,4
"""
OPENROUTER = """\
generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,model_permaslug,provider_name,api_key_name
gen-1,2026-11-23 08:10:11.123,0.001,100,20,5,0,openai/gpt-5-mini,OpenAI,dify
gen-2,2026-11-23 08:59:59.999,0.002,200,30,0,50,openai/gpt-5-mini,OpenAI,dify
gen-3,2026-11-23 09:00:00.000,0.004,300,40,0,0,openai/gpt-5-mini,OpenAI,dify
"""
AZURE = """\
Date,ServiceName,MeterName,ResourceId,CostInBillingCurrency,BillingCurrency
11/23/2026,Cognitive Services,gpt-5-mini-Inp-glbl Tokens,/subscriptions/s/openai,1.25,EUR
11/23/2026,Virtual Machines,D2 v3,/subscriptions/s/vm,99.00,EUR
"""
AWS = """\
lineItem/UsageStartDate,lineItem/UsageType,lineItem/UnblendedCost,lineItem/CurrencyCode,product/ProductName,lineItem/ResourceId
2026-11-23T10:00:00Z,USE1-Claude-input-tokens,0.123456789,USD,Amazon Bedrock,arn:aws:bedrock:p
2026-11-23T10:00:00Z,BoxUsage,9,USD,Amazon Elastic Compute Cloud,i-1
"""
ALIYUN = """\
账单明细导出,,,,,,,,
账单日期,产品,计费项,实例ID,用量,用量单位,应付金额,币种,备注
2026-11-23,大模型服务平台百炼,qwen-plus-输入,sk-1\t,"1,234.5",千tokens,¥0.98,人民币,
2026-11-23,大模型服务平台百炼,qwen-plus-输出,sk-1\t,100,千tokens,¥0.20,人民币,
2026-11-23,云服务器 ECS,实例,i-1,24,小时,8.00,人民币,
,,,,,,,,
合计,,,,,,9.18,人民币,
"""
TENCENT = """\
账单日期,产品名称,组件名称,组件用量,组件用量单位,优惠后总价(元),资源ID
2026-11-23,腾讯混元大模型,混元输入token,50,千token,0.04,key-1
2026-11-23,腾讯混元大模型,混元输出token,10,千token,0.05,key-1
"""
VOLCENGINE = """\
消费日期,产品,配置名称,计费项,用量,单位,应付金额,实例ID
2026-11-23,火山方舟大模型服务,doubao-seed-1-6,推理输入,0.5,百万tokens,0.4,ep-1
2026-11-23,火山方舟大模型服务,doubao-seed-1-6,推理输出,0.1,百万tokens,0.2,ep-1
"""
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "openai-usage": (OPENAI_USAGE, {"input": 98_220, "output": 12_039, "cache_read": 66_560, "requests": 43}),
    "openai-costs": (OPENAI_COSTS, {"cost": {"USD": Decimal("0.0600001000001")}}),
    "anthropic": (ANTHROPIC, {"input": 2_220, "output": 445, "cache_read": 200, "cache_write": 520}),
    "deepseek": (DEEPSEEK, {"input": 1_324, "output": 210, "cache_read": 1_024, "requests": 4}),
    "openrouter": (
        OPENROUTER,
        {"input": 600, "output": 90, "reasoning": 5, "cache_read": 50, "cost": {"USD": Decimal("0.007")}},
    ),
    "azure-cost": (AZURE, {"cost": {"EUR": Decimal("1.25")}}),
    "aws-cur": (AWS, {"cost": {"USD": Decimal("0.123456789")}}),
    "aliyun-bill": (ALIYUN, {"input": 1_234_500, "output": 100_000, "cost": {"CNY": Decimal("1.18")}}),
    "tencent-bill": (TENCENT, {"input": 50_000, "output": 10_000, "cost": {"CNY": Decimal("0.09")}}),
    "volcengine-bill": (VOLCENGINE, {"input": 500_000, "output": 100_000, "cost": {"CNY": Decimal("0.6")}}),
}


def written(folder: Path, text: str | bytes, name: str = "export.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def imported(path: Path, **settings: Any) -> Imported:
    return read_file(path, BillSettings(kind="file", path=str(path), **settings))


def sums(found: Imported) -> dict[str, Any]:
    told: dict[str, Any] = {
        part: total(found.buckets, lambda row, part=part: getattr(row.tokens, part))
        for part in ("input", "output", "cache_read", "cache_write", "reasoning")
    }
    told["requests"] = total(found.buckets, lambda row: row.requests)
    money: dict[str, Decimal] = {}
    for row in found.buckets:
        if row.cost is not None:
            money[row.currency] = money.get(row.currency, Decimal(0)) + row.cost
    return {name: value for name, value in told.items() if value} | ({"cost": money} if money else {})


def test_every_preset_has_a_file_here() -> None:
    assert set(FILES) == set(PRESETS)


@pytest.mark.parametrize("preset", sorted(FILES))
@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_a_preset_reads_its_export_in_every_encoding(tmp_path: Path, preset: str, encoding: str) -> None:
    text, truth = FILES[preset]
    found = imported(written(tmp_path, text.encode(encoding)), preset=preset)
    assert found.refused == ()
    assert sums(found) == truth
    assert {row.source for row in found.buckets} == {preset}


def test_days_of_chinese_bills_are_days_of_china(tmp_path: Path) -> None:
    for preset in ("aliyun-bill", "tencent-bill", "volcengine-bill"):
        found = imported(written(tmp_path, FILES[preset][0]), preset=preset)
        day = datetime(2026, 11, 23, tzinfo=SHANGHAI)
        assert {(row.starts_at, row.ends_at) for row in found.buckets} == {(micros(day), micros(day + DAY))}


def test_empty_rows_totals_and_other_products_are_counted_and_left_out(tmp_path: Path) -> None:
    found = imported(written(tmp_path, ALIYUN), preset="aliyun-bill")
    assert (found.rows, found.empty, found.totals, found.other_products) == (5, 1, 1, 1)


def test_tokens_of_a_bill_stand_together_and_its_money_by_billing_item(tmp_path: Path) -> None:
    found = imported(written(tmp_path, VOLCENGINE), preset="volcengine-bill")
    (counted,) = [row for row in found.buckets if row.tokens.input is not None]
    assert (counted.model, counted.key, counted.tokens.output) == ("doubao-seed-1-6", "ep-1", 100_000)
    assert {row.group: row.cost for row in found.buckets if row.cost is not None} == {
        "推理输入": Decimal("0.4"), "推理输出": Decimal("0.2"),
    }  # fmt: skip


def test_rows_of_single_requests_become_hours(tmp_path: Path) -> None:
    found = imported(written(tmp_path, OPENROUTER), preset="openrouter")
    assert [(row.tokens.input, (row.ends_at - row.starts_at) // 60_000_000) for row in found.buckets] == [
        (300, 60), (300, 60),
    ]  # fmt: skip


def test_a_model_is_read_out_of_a_line_item_and_a_tool_has_none(tmp_path: Path) -> None:
    found = imported(written(tmp_path, OPENAI_COSTS), preset="openai-costs")
    assert [row.model for row in found.buckets] == ["gpt-5-mini", None]


@pytest.mark.parametrize("form", ["array", "object", "lines", "gzip"])
def test_json_in_all_its_forms_is_read_like_a_table(tmp_path: Path, form: str) -> None:
    rows = [
        {"time": "2026-11-23T08:00:00Z", "model": "m", "usage": {"input": 10, "output": 2}, "cost": "0.10"},
        {"time": "2026-11-23T08:30:00Z", "model": "m", "usage": {"input": 1, "output": None}, "cost": 0.2},
    ]
    text = {
        "array": json.dumps(rows),
        "object": json.dumps({"data": rows, "page": 1}),
        "lines": "\n".join(json.dumps(row) for row in rows),
        "gzip": json.dumps(rows),
    }[form]
    body = gzip.compress(text.encode()) if form == "gzip" else text.encode()
    columns = {
        "time": "time",
        "model": "model",
        "input": "usage.input",
        "output": "usage.output",
        "cost": "cost",
    }
    found = imported(written(tmp_path, body), name="own", columns=columns, currency="usd")
    (row,) = found.buckets
    assert (row.tokens.input, row.tokens.output, row.cost, row.currency) == (11, 2, Decimal("0.30"), "USD")


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ('"1,234.50"', "1234.50"),
        ("$0.1", "0.1"),
        ("￥3", "3"),
        ("(2.5)", "-2.5"),
        ("-2.5", "-2.5"),
        ("1.5e-3", "0.0015"),
        ("12 345", "12345"),
    ],
)
def test_amounts_are_read_as_people_write_them(tmp_path: Path, cell: str, amount: str) -> None:
    path = written(tmp_path, f"Date,Cost\n2026-11-23,{cell}\n")
    columns = {"time": "date", "cost": "cost"}
    (row,) = imported(path, name="own", columns=columns, currency="USD").buckets
    assert row.cost == Decimal(amount)


def test_semicolons_part_columns_where_the_comma_is_the_decimal_point(tmp_path: Path) -> None:
    path = written(tmp_path, "Datum;Betrag;Tokens\n23/11/2026x;1;1\n2026-11-23;1.234,56;7.000\n")
    columns = {"time": "Datum", "cost": "Betrag"}
    found = imported(path, name="own", columns=columns, currency="EUR")
    assert [row.cost for row in found.buckets] == [Decimal("1234.56")]
    assert [bad.place for bad in found.refused] == ["export.csv line 2"]


@pytest.mark.parametrize(
    "text", ["2026-11-23", "2026/11/23", "20261123", "2026年11月23日", "11/23/2026", "2026.11.23"]
)
def test_a_day_may_be_written_in_many_ways(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, f"day,tokens\n{text},5\n")
    columns = {"time": "day", "input": "tokens"}
    (row,) = imported(path, name="own", columns=columns, time_zone="Asia/Shanghai").buckets
    assert row.starts_at == micros(datetime(2026, 11, 23, tzinfo=SHANGHAI))
    assert row.ends_at - row.starts_at == 86_400_000_000


def test_a_month_is_a_stretch_of_its_own_length(tmp_path: Path) -> None:
    path = written(tmp_path, "账期,应付金额\n2026-11,5\n202602,5\n")
    columns = {"time": "账期", "cost": "应付金额"}
    rows = imported(path, name="own", columns=columns, currency="CNY").buckets
    assert [(row.ends_at - row.starts_at) // 86_400_000_000 for row in rows] == [30, 28]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("yesterday,m,5,1", "Day is not a time"),
        (",m,5,1", "the row has no time"),
        ("2026-11-23,m,many,1", "In is not a number"),
        ("2026-11-23,m,-5,1", "input is less than nothing"),
        ("2026-11-23,m,,", "the row has neither a count nor a cost that is known"),
        ("2026-13-23,m,5,1", "Day is not a time"),
    ],
)
def test_a_row_that_cannot_be_read_is_set_aside_with_its_line_and_without_its_words(
    tmp_path: Path, row: str, reason: str
) -> None:
    path = written(tmp_path, f"Day,Model,In,Out\n2026-11-23,m,7,3\n{row}\n2026-11-24,m,1,1\n")
    columns = {"time": "Day", "model": "Model", "input": "In", "output": "Out"}
    found = imported(path, name="own", columns=columns)
    assert [(bad.place, bad.reason) for bad in found.refused] == [("export.csv line 3", reason)]
    assert sums(found) == {"input": 8, "output": 4}


def test_an_amount_without_a_currency_is_not_guessed(tmp_path: Path) -> None:
    path = written(tmp_path, "Day,Cost\n2026-11-23,7\n")
    found = imported(path, name="own", columns={"time": "Day", "cost": "Cost"})
    assert [bad.reason for bad in found.refused] == ["the amount has no currency; set `currency`"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"PK\x03\x04rest", "spreadsheet or an archive"),
        (b"\x1f\x8bbroken", "cannot be read"),
        (b"a,b\n1,2\n", "no line with the columns"),
        (b"[1, 2", "neither JSON nor JSON Lines"),
        (b'[{"a": 1}]', "needs a column of times"),
    ],
)
def test_a_file_that_is_no_export_is_refused_as_a_whole(tmp_path: Path, body: bytes, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        imported(written(tmp_path, body), preset="openai-usage")


def test_an_unknown_preset_or_column_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, OPENAI_USAGE)
    with pytest.raises(Misconfigured, match="preset is none of"):
        imported(path, preset="openai")
    with pytest.raises(Misconfigured, match=r"columns\.tokens is none of"):
        imported(path, name="own", columns={"tokens": "x"})


def test_files_of_a_folder_are_read_once_and_again_when_they_change(tmp_path: Path) -> None:
    first = written(tmp_path, OPENAI_USAGE, "a.csv")
    other = written(tmp_path, OPENAI_USAGE.replace("1795392000,1795478400", "1795478400,1795564800"), "b.csv")
    with account(tmp_path, kind="file", path=str(tmp_path / "*.csv"), preset="openai-usage") as bills:
        bills.take()
        bills.take()
        assert total(bills.rows(), lambda row: row.tokens.input) == 2 * 98_220
        assert bills.changes() == []
        written(tmp_path, OPENAI_USAGE.replace("98210", "98310"), "a.csv")
        os.utime(first, (2**31, 2**31))
        bills.take()
        assert total(bills.rows(), lambda row: row.tokens.input) == 2 * 98_220 + 100
        (change,) = bills.changes()
        assert (change["rows"], change["input"]) == (1, 100)
        other.unlink()
        bills.take()
        assert total(bills.rows(), lambda row: row.tokens.input) == 2 * 98_220 + 100


def test_a_file_that_cannot_be_read_holds_up_no_other_and_is_named(tmp_path: Path) -> None:
    os.utime(written(tmp_path, "nothing,here\n1,2\n", "a.csv"), (1, 1))
    written(tmp_path, OPENAI_USAGE, "b.csv")
    with account(tmp_path, kind="file", path=str(tmp_path / "*.csv"), preset="openai-usage") as bills:
        ((_, problem),) = bills.take().failed
        assert "a.csv" in str(problem)
        assert total(bills.rows(), lambda row: row.tokens.input) == 98_220


def test_a_file_that_holds_all_of_its_time_takes_back_what_is_not_in_it(tmp_path: Path) -> None:
    path = written(tmp_path, OPENAI_USAGE)
    with account(tmp_path, kind="file", path=str(path), preset="openai-usage", replaces=True) as bills:
        bills.take()
        written(tmp_path, "\n".join(OPENAI_USAGE.splitlines()[:2]))
        bills.take()
        assert total(bills.rows(), lambda row: row.requests) == 41
        (change,) = bills.changes()
        assert (change["gone"], change["input"]) == (1, -10)


def test_hours_without_an_offset_are_in_the_zone_that_is_set(tmp_path: Path) -> None:
    path = written(tmp_path, OPENROUTER)
    first = imported(path, preset="openrouter", time_zone="+08:00").buckets[0]
    assert first.starts_at == micros(datetime(2026, 11, 23, 0, 0, tzinfo=UTC))
