"""A twin of Azure Monitor's metrics of an Azure OpenAI account, with the login in front of it.

Kept rules: an Entra token got by a client's secret or by the managed identity; metrics, grain, timespan, `$filter` by dimensions;
ten series unless `top` says more; points without traffic have no `total`; names of dimensions come back in lower case.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from tests.contract.spending import EXPIRED_KEY, SpendingTwin, grouped
from tests.contract.twin_server import Refused, Request, Response

TENANT, CLIENT, CLIENT_SECRET, TOKEN = "tenant-1", "client-1", "twin-client-secret", "twin-entra-token"
RESOURCE = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/dify-openai"
GRAINS = {"PT1M": 60, "PT1H": 3600, "P1D": 86400}
DIMENSIONS = {"ModelDeploymentName": lambda item: item.model, "Region": lambda item: item.place or "eastus"}
METRICS = {
    "ProcessedPromptTokens": lambda items: sum(item.input for item in items),
    "GeneratedTokens": lambda items: sum(item.output for item in items),
    "AzureOpenAIRequests": len,
}


def stamp(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class AzureMetricsTwin(SpendingTwin):
    """One account."""

    def report(self, request: Request) -> Response:
        """A token, or metrics."""
        if request.path == f"/{TENANT}/oauth2/v2.0/token":
            form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
            if form.get("client_secret") == EXPIRED_KEY:
                return Response(401, {"error": "invalid_client", "error_description": "AADSTS7000222"})
            if (form["client_id"], form["client_secret"]) != (CLIENT, CLIENT_SECRET):
                return Response(400, {"error": "unauthorized_client"})
            if form["scope"] != f"{self.url}/.default" or form["grant_type"] != "client_credentials":
                return Response(400, {"error": "invalid_scope"})
            return Response(200, {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})
        if request.path == "/metadata/identity/oauth2/token":
            if request.headers.get("metadata") != "true" or request.query["resource"] != f"{self.url}/":
                raise Refused(400, "bad request")
            return Response(200, {"access_token": TOKEN, "expires_in": "3599"})
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "token")
        if request.path != f"{RESOURCE}/providers/Microsoft.Insights/metrics":
            raise Refused(403, "AuthorizationFailed")
        return Response(
            200, {"cost": 0, "interval": request.query["interval"], "value": self.metrics(request)}
        )

    def metrics(self, request: Request) -> list[dict[str, Any]]:
        """Each metric with its series."""
        width = GRAINS[request.query["interval"]]
        start, end = (
            int(datetime.fromisoformat(text).timestamp()) for text in request.query["timespan"].split("/")
        )
        groups = [part.split()[0] for part in request.query["$filter"].split(" and ")]
        top = int(request.query.get("top", "10"))
        found = []
        for name in request.query["metricnames"].split(","):
            series = [
                {
                    "metadatavalues": [
                        {"name": {"value": group.lower(), "localizedValue": group}, "value": value}
                        for group, value in zip(groups, names, strict=True)
                    ],
                    "data": [
                        {"timeStamp": stamp(at)} | ({"total": float(METRICS[name](inside))} if inside else {})
                        for at in range(start, end, width)
                        for inside in [[item for item in items if at <= item.at < at + width]]
                    ],
                }
                for names, items in grouped(
                    self.between(start, end), lambda item: tuple(DIMENSIONS[group](item) for group in groups)
                )
            ]
            found.append({"name": {"value": name}, "timeseries": series[:top]})
        return found
