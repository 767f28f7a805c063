"""Text for the benchmarks: mixed English and Chinese, as varied as what people send to a support or analysis app.

The same seed gives the same text. Texts are of a wanted length in UTF-8 bytes, never shorter, at most one clause longer.
"""

from __future__ import annotations

from random import Random

_ENGLISH_WORDS = """
the of and to in is you that it for on with as are this be from or have by one had not but what all were when we there
can an your which their said if do will each about how up out them then she many some so these would other into has
more two like him see time could no make than first been its who now people my made over did down only way find use
may water long little very after words called just where most know get through back much before go good new write our
used me man too any day same right look think also around another came come work three must because does part even
place well such here take why things help put years different away again off went old number great tell men say small
every found still between name should home big give air line set own under read last never us left end along while
might next sound below saw something thought both few those always looked show large often together asked house world
going want school until important form food keep children feet land side without boy once animals life enough took
sometimes four head above kind began almost live page got earth need far hand high year mother light parts country
father let night following picture being study second eyes soon times story boys since white days ever paper hard near
sentence better best across during today others however sure means knew try told young miles sun ways thing whole hear
example heard several change answer room sea against top turned learn point city play toward five using himself
usually account agreement allowance appendix approval archive assessment assignment attachment authorization
availability balance baseline behaviour benchmark billing boundary browser budget calendar calibration campaign
capacity catalogue certificate chargeback checkout circuit clause cluster collateral collection commission compartment
compatibility complaint compliance component configuration confirmation connector consequence consignment
consolidation constraint consumption container contract conversion correction correspondence counterparty coverage
credentials criteria customer database deadline declaration deduction default deficiency delegation delivery
department dependency deployment depreciation description destination deviation diagnosis dimension disclosure
discount discrepancy dispatch distribution documentation duplicate electricity eligibility embargo endpoint enrolment
entitlement environment equipment escalation estimate evaluation evidence exception exchange exemption expenditure
expiration extension facility feasibility firmware forecast forwarding framework frequency fulfilment guarantee
guideline handover hardware headquarters hypothesis identification implementation improvement incident indemnity
indicator inspection installation instalment instruction insurance integration interface inventory invoice
jurisdiction justification laboratory latency ledger liability licence limitation logistics maintenance malfunction
mandatory manufacturer margin measurement merchandise methodology migration milestone modification monitoring
negotiation notification obligation observation occurrence operation optimization organisation overhead packaging
parameter partnership password payment penalty performance permission perspective pipeline portfolio possession
postponement precaution preference premium prerequisite prevention probability procedure processing procurement
projection proposal provision publication purchase qualification quantity quarterly quotation receipt recommendation
reconciliation recovery reduction reference refund regulation reimbursement rejection reliability reminder renewal
replacement repository requirement reservation resistance resolution responsibility restriction retention revenue
reversal revision rotation safeguard sampling satisfaction schedule security segment sensitivity sequence settlement
severity shipment signature specification stability statement statistics storage strategy subscription substitute
supervision supplement surcharge suspension synchronisation temperature template tender threshold throughput timetable
tolerance transaction transition translation transmission treatment turnover unauthorised undertaking utilisation
validation valuation variance vehicle vendor verification version violation voltage voucher warehouse warranty
withdrawal workflow workshop
"""

_CHINESE_WORDS = """
我们 你们 他们 客户 产品 订单 退款 保修 发票 物流 配送 仓库 库存 价格 折扣 优惠 合同 付款 账户 密码
登录 注册 验证 邮箱 电话 地址 时间 日期 问题 解决 方案 建议 帮助 支持 服务 质量 标准 检查 测试 报告
数据 分析 结果 模型 系统 平台 接口 网络 设备 电池 充电 电源 屏幕 按钮 指示灯 说明书 安装 更新 升级
版本 固件 故障 维修 更换 零件 人工 费用 成本 预算 计划 项目 进度 完成 开始 结束 需要 可以 应该 必须
如果 因为 所以 但是 而且 或者 同时 已经 正在 将会 之前 之后 目前 最近 通常 一般 特别 非常 比较 更加
重要 主要 其他 部分 全部 所有 每个 任何 请问 谢谢 您好 抱歉 确认 取消 修改 提交 申请 审核 批准 拒绝
通知 回复 联系 沟通 会议 讨论 决定 选择 购买 销售 市场 品牌 竞争 优势 风险 安全 隐私 保护 政策 法规
要求 条件 范围 期限 工作日 二十四个月 三十天 上海 北京 深圳
"""

_ENGLISH = _ENGLISH_WORDS.split()
_CHINESE = _CHINESE_WORDS.split()
_CHINESE_SHARE = 0.25


def prose(rng: Random, size_bytes: int) -> str:
    """Sentences of about this many bytes; a quarter of the sentences are Chinese, some hold numbers."""
    parts: list[str] = []
    length = 0
    while length < size_bytes:
        sentence, size = _chinese(rng) if rng.random() < _CHINESE_SHARE else _english(rng)
        parts.append(sentence)
        length += size
    return "".join(parts).rstrip()


def _english(rng: Random) -> tuple[str, int]:
    words = rng.choices(_ENGLISH, k=6 + int(rng.random() * 14))
    words[0] = words[0].capitalize()
    if len(words) > 11:
        words[5] += ","
    if rng.random() < 0.3:
        words[-2] = str(int(rng.random() * 100_000))
    sentence = f"{' '.join(words)}. "
    return sentence, len(sentence)


def _chinese(rng: Random) -> tuple[str, int]:
    words = rng.choices(_CHINESE, k=5 + int(rng.random() * 10))
    middle = len(words) // 2
    sentence = f"{''.join(words[:middle])}，{''.join(words[middle:])}。"
    return sentence, 3 * len(sentence)
