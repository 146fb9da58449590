"""Languages as containers name them: three letters of ISO 639-2."""

from __future__ import annotations

_BIBLIOGRAPHIC = ("matroska", "webm")
# MOV numbers languages after the Macintosh's list, in which FFmpeg calls some by either code.
_MOV = """
alb amh ara arm asm aym aze baq bel ben bul bur cat ces chi dan dut dzo eng epo est fin fra geo ger gre grn guj heb hin
hun ice ind ita jav jpn kan kas kaz khm kin kir kor kur lao lat lav lit mac mal mar may mlg mlt mol mon nep nor nya ori
orm per pol por pus que ron run rus san slk slv snd som spa swa tam tat tel tgk tgl tha tib tir tuk tur uig ukr urd uzb
vie wel yid
"""


def container_language(text: str, container: str) -> str | None:
    """Return the code by which a container names a language, None where the text names none, or the container has none.

    Args:
        text: A tag of BCP 47 or a code of ISO 639: ``de``, ``pt-BR``, ``deu`` and ``ger`` alike.
        container: FFmpeg name of the container: Matroska wants bibliographic codes (``ger``), MP4 terminological ones
            (``deu``), MOV knows a list.
    """
    from langcodes import Language  # its expressions take a tenth of a second to compile: once the first name is asked
    from langcodes.tag_parser import LanguageTagError

    try:
        language = Language.get(text.strip().replace("_", "-"))
        bibliographic, terminological = language.to_alpha3(variant="B"), language.to_alpha3(variant="T")
    except (LanguageTagError, LookupError):
        return None
    if container == "mov":
        return next((code for code in (terminological, bibliographic) if code in _MOV.split()), None)
    return bibliographic if container in _BIBLIOGRAPHIC else terminological
