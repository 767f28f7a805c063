-- what the page of traces is filtered and sorted by; each holds all that its walks look at
CREATE INDEX traces_verdict ON traces (verdict, started_at);
CREATE INDEX traces_app ON traces (app_id, verdict, started_at);
CREATE INDEX traces_gap ON traces (gap, trace_id, app_id, verdict, started_at) WHERE gap != 0;
CREATE INDEX calls_model ON calls (model, started_at, call_id, trace_id, app_id);
