"""The whole checklist of why numbers differ, walked through on the live data: one line each, fine, problem or can't know."""
