"""Which language a page is in, and its words: by `?lang=`, which every link then keeps, else as the browser prefers.

No cookie is set. A word that a language lacks is an error of ours, found by a test, never a gap on the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from exporter.compare.catalog import FINDINGS
from exporter.web.wording import chinese, chinese_findings, english


@dataclass(frozen=True, slots=True)
class FindingWords:
    """A finding's code in words."""

    title: str
    means: str
    advice: str


@dataclass(frozen=True, slots=True)
class Language:
    """The words of one language; `tag` is what HTML calls it, `own_name` what its speakers do."""

    code: str
    tag: str
    own_name: str
    texts: Mapping[str, str]
    findings: Mapping[str, FindingWords]

    def __call__(self, key: str, **values: object) -> str:
        """The words of this key, `{names}` filled in. Raises KeyError."""
        return self.texts[key].format(**values)

    def maybe(self, key: str, otherwise: str) -> str:
        """The words of this key, or what stands in the ledger where it is new to us."""
        return self.texts.get(key, otherwise)

    def count(self, what: str, number: int) -> str:
        """`1 call`, `2,000 calls`."""
        return self(f"{what}.{'one' if number == 1 else 'many'}", n=f"{number:,}")

    def title(self, code: str) -> str:
        """A finding's name."""
        known = self.findings.get(code)
        return known.title if known else code.replace("_", " ").capitalize()


ENGLISH = Language(
    "en", "en", "English", english.TEXTS,
    {code: FindingWords(words.title, words.means, words.advice) for code, words in FINDINGS.items()},
)  # fmt: skip
CHINESE = Language(
    "zh", "zh-Hans", "中文", chinese.TEXTS,
    {code: FindingWords(*words) for code, words in chinese_findings.FINDINGS.items()},
)  # fmt: skip
LANGUAGES = {language.code: language for language in (ENGLISH, CHINESE)}


def language_of(request: Request) -> Language:
    """The language asked for; one we do not have is English."""
    asked = request.query_params.get("lang", "")
    return LANGUAGES.get(asked) or _preferred(request.headers.get("accept-language", ""))


def _preferred(header: str) -> Language:
    """The first of the reader's languages that we have, by weight (RFC 9110, 12.5.4)."""
    weighed = []
    for place, entry in enumerate(header.split(",")):
        name, _, weight = entry.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        weighed.append((-quality, place, name.strip().lower().partition("-")[0]))
    known = (LANGUAGES[name] for quality, _, name in sorted(weighed) if quality < 0 and name in LANGUAGES)
    return next(known, ENGLISH)


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of our pages that keep a language which the reader chose."""

    chosen: str | None

    @classmethod
    def of(cls, request: Request) -> Links:
        """For the answer to this request."""
        asked = request.query_params.get("lang")
        return cls(asked if asked in LANGUAGES else None)

    def to(self, path: str, **values: object) -> str:
        """The page with these values; what is empty is left out."""
        kept = {name: str(value) for name, value in values.items() if value not in (None, "")}
        if self.chosen:
            kept["lang"] = self.chosen
        return f"{path}?{urlencode(kept)}" if kept else path


def same_page_in(request: Request, language: Language) -> str:
    """This very page in another language."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    return f"{request.url.path}?{urlencode([*kept, ('lang', language.code)])}"
