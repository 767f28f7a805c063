"""A twin of Google Cloud Monitoring's time series of Vertex AI, with the login in front of it.

Kept rules: a service account's signed assertion, checked with its public key; one metric a request; aggregation by delta and
sum over labels; whole numbers as text; a period is named by its end; pages by token.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.contract.spending import SpendingTwin, grouped
from tests.contract.twin_server import Refused, Request, Response

PROJECT, TOKEN, ACCOUNT = "dify-project", "twin-google-token", "dify@dify-project.iam.gserviceaccount.com"
PREFIX = 'metric.type="aiplatform.googleapis.com/publisher/online_serving/'


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def stamp(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class GoogleMetricsTwin(SpendingTwin):
    """One project."""

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def key_file(self, folder: Path, private: rsa.RSAPrivateKey | None = None) -> Path:
        """A service account's key, of this twin or another."""
        pem = (private or self.private).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = folder / "service-account.json"
        found = {
            "type": "service_account", "client_email": ACCOUNT, "private_key": pem.decode(), "private_key_id": "k",
            "project_id": PROJECT, "token_uri": f"{self.url}/token",
        }  # fmt: skip
        path.write_text(json.dumps(found))
        return path

    def report(self, request: Request) -> Response:
        """A token, or a page of series."""
        if request.path == "/token":
            assertion = parse_qs(request.body.decode())["assertion"][0]
            signed, _, signature = assertion.rpartition(".")
            try:
                self.private.public_key().verify(
                    _unpacked(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
                )
            except InvalidSignature:
                return Response(
                    400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
                )
            claims = json.loads(_unpacked(signed.split(".")[1]))
            assert "monitoring.read" in claims["scope"]
            return Response(200, {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "token")
        if request.path != f"/v3/projects/{PROJECT}/timeSeries":
            raise Refused(403, "Permission monitoring.timeSeries.list denied")
        series = self.series(request)
        first = int(request.query.get("pageToken", "0"))
        last = first + self.page_size
        more = {"nextPageToken": str(last)} if last < len(series) else {}
        return Response(200, {"timeSeries": series[first:last], **more})

    def series(self, request: Request) -> list[dict[str, Any]]:
        """One series per group."""
        query = request.query
        metric = query["filter"].removeprefix(PREFIX).rstrip('"')
        width = int(query["aggregation.alignmentPeriod"].rstrip("s"))
        start, end = seconds(query["interval.startTime"]), seconds(query["interval.endTime"])
        assert (query["aggregation.perSeriesAligner"], query["aggregation.crossSeriesReducer"]) == (
            "ALIGN_DELTA", "REDUCE_SUM",
        )  # fmt: skip
        kinds = {"token_count": ("input", "output"), "model_invocation_count": ("",)}[metric]
        groups = [value for name, value in request.pairs if name == "aggregation.groupByFields"]
        assert ("metric.label.type" in groups) is (metric == "token_count")
        found = []
        for (model, place), items in grouped(
            self.between(start, end), lambda item: (item.model, item.place or "us-central1")
        ):
            for kind in kinds:
                points = []
                for at in range(end - width, start - 1, -width):
                    inside = [item for item in items if at <= item.at < at + width]
                    value = sum(getattr(item, kind) for item in inside) if kind else len(inside)
                    if inside:
                        points.append(
                            {
                                "interval": {"startTime": stamp(at), "endTime": stamp(at + width)},
                                "value": {"int64Value": str(value)},
                            }
                        )
                labels = {"model_user_id": model, "location": place}
                found.append(
                    {
                        "metric": {"type": metric, "labels": {"type": kind} if kind else {}},
                        "resource": {"type": "aiplatform.googleapis.com/PublisherModel", "labels": labels},
                        "points": points,
                    }
                )
        return found


def _unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
