"""The small-sample procedure: fixed prompts through one Dify app, a few times each, and three readings of every run.

prompts → service_api (asks the app) → waiting (until the ledger has the traces and their evidence) → statistics → causes →
document. Asking costs money, so nothing is asked without the app's key and a yes.
"""
