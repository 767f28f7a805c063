"""The link to a trace at LangSmith leads to the run that is there."""

from __future__ import annotations

from exporter.destinations.langsmith import LangSmith, pages_of
from tests.contract.langsmith_twin import WORKSPACE, LangSmithTwin, project_id
from tests.destinations.destination_units import langsmith, unit
from tests.spans import assessed_traces as traces

TRACE = traces.chatflow(1000)


def page(destination: LangSmith) -> str | None:
    root = TRACE.trace.steps[0]
    return destination.run_page(TRACE.trace.trace_id, root.span_id, root.started_at)


def test_the_page_is_that_of_the_root_run_in_its_project() -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin)
        assert page(destination) is None
        destination.send([unit(destination, TRACE)])
        destination.learn_pages()
        (root,) = [run["id"] for run in twin.runs.values() if run["parent_run_id"] is None]
        address = page(destination)
    assert address is not None
    assert address.startswith(f"{twin.url}/o/{WORKSPACE}/projects/p/{project_id('dify')}/r/{root}?")


def test_without_an_answer_or_a_single_project_there_is_no_link() -> None:
    with LangSmithTwin() as twin:
        by_app = langsmith(twin, project="dify-{app}")
        by_app.learn_pages()
        address = twin.url
    away = langsmith(address)
    away.learn_pages()
    assert (page(by_app), page(away)) == (None, None)


def test_clouds_have_their_pages_beside_their_api() -> None:
    """As langsmith-sdk's get_host_url tells it."""
    for api, site in (
        ("https://api.smith.langchain.com", "https://smith.langchain.com/"),
        ("https://eu.api.smith.langchain.com", "https://eu.smith.langchain.com/"),
        ("https://langsmith.acme.internal/api/v1", "https://langsmith.acme.internal/"),
    ):
        assert f"{pages_of(api)}/" == site
