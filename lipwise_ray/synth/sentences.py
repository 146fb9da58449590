"""Sentences put together from lists of words: enough variety for a corpus, no text of anyone's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class _Words:
    """Word lists and the patterns that use them: S subject, V verb, O object, P place, T time."""

    subject: tuple[str, ...]
    verb: tuple[str, ...]
    object: tuple[str, ...]
    place: tuple[str, ...]
    time: tuple[str, ...]
    patterns: tuple[str, ...]


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


_WORDS = {
    "en-us": _Words(
        _list(
            "my mother, the old baker, a quiet boy, her brother, our new pilot, the whole family, a famous painter, "
            "the mayor, everybody, your neighbour, the farmer, a young teacher, Bob, Emma, the blue parrot, the woman from Peru, "
            "the wife of the vicar, a happy widow, the poet, nobody"
        ),
        _list(
            "opens, buys, paints, moves, follows, remembers, borrows, throws away, reads about, shows us, loves, "
            "prepares, forgets, builds, watches, carries, finds, sells, fixes, gives me"
        ),
        _list(
            "a big wooden box, the map of the valley, both apples, warm bread, an awful movie, the yellow boat, "
            "a heavy book, purple flowers, his favourite coffee, the broken lamp, a piece of cheese, seven white shirts, "
            "the first page, an old photo, fresh water, those funny shoes, a simple plan, the moon, my umbrella, fish soup"
        ),
        _list(
            "by the river, in the market, above the shop, near our house, behind the wall, on the roof, at the bus stop, "
            "under a palm tree, in front of the theatre, on the beach, from the village, beside the museum"
        ),
        _list(
            "today, before five, every Monday, in the morning, after the show, at half past four, once a week, "
            "in the month of May, all summer, very soon, this evening, from time to time"
        ),
        ("S V O.", "S V O P.", "T, S V O.", "S V O T.", "P, S V O T.", "maybe S V O P T."),
    ),
    "es": _Words(
        _list(
            "mi madre, el viejo panadero, una niña, su hermano, el piloto, toda la familia, la pintora, el alcalde, "
            "la vecina, un joven poeta, Pablo, Eva, el abuelo, nuestra amiga, el buen médico, la gente del pueblo"
        ),
        _list(
            "abre, compra, pinta, mueve, busca, recuerda, prepara, olvida, lleva, encuentra, vende, mira, quiere, "
            "pone, guarda, bebe"
        ),
        _list(
            "una caja grande, el mapa del valle, pan caliente, una película mala, el barco amarillo, un libro pesado, "
            "flores azules, su café favorito, la lámpara rota, un poco de queso, siete camisas blancas, la primera página, "
            "agua fresca, un plan sencillo, la luna, el paraguas, sopa de pescado, manzanas verdes"
        ),
        _list(
            "junto al río, en el mercado, cerca de casa, detrás del muro, bajo una palmera, en la playa, "
            "delante del museo, por el puente, en la esquina, sobre la mesa"
        ),
        _list(
            "hoy, antes de las cinco, cada lunes, por la mañana, después del baile, a mediodía, una vez por semana, "
            "en mayo, todo el verano, muy pronto, esta noche"
        ),
        ("S V O.", "S V O P.", "T, S V O.", "S V O T.", "P S V O.", "tal vez S V O P T."),
    ),
    "ko": _Words(
        _list(
            "어머니가, 동생이, 선생님이, 우리 가족이, 화가가, 시장님이, 이웃 사람이, 젊은 농부가, 친구가, 아버지가, "
            "모두가, 의사가, 아이들이, 할머니가"
        ),
        _list(
            "봅니다, 삽니다, 만듭니다, 찾습니다, 옮깁니다, 기억합니다, 좋아합니다, 팝니다, 고칩니다, 보여 줍니다, "
            "엽니다, 읽습니다, 버립니다, 마십니다"
        ),
        _list(
            "큰 나무 상자를, 오래된 지도를, 따뜻한 빵을, 노란 배를, 무거운 책을, 보라색 꽃을, 커피를, 하얀 셔츠를, "
            "첫 페이지를, 옛날 사진을, 맑은 물을, 우산을, 생선국을, 파란 모자를, 새 영화를"
        ),
        _list(
            "강가에서, 시장에서, 집 앞에서, 지붕 위에서, 버스 안에서, 나무 밑에서, 바닷가에서, 박물관 옆에서, 마을에서"
        ),
        _list("오늘, 아침마다, 월요일에, 다섯 시 전에, 여름 내내, 곧, 저녁에, 오월에, 가끔"),
        ("S O V.", "S P O V.", "T S O V.", "T P S O V.", "P S T O V."),
    ),
    "ar": _Words(
        _list(
            "أمي, الخباز, أخي الصغير, المعلم, العائلة, الرسام, جارنا, الفلاح, صديقي, أبي, الطبيب, الولد, البنت, الشاعر"
        ),
        _list("يفتح, يبيع, يرسم, يحمل, يبحث عن, يتذكر, يحب, يبني, يصلح, يشرب, يقرأ, ينسى, يرى, يضع"),
        _list(
            "الصندوق الكبير, خريطة الوادي, الخبز الساخن, القارب الأصفر, كتابا ثقيلا, الورود, القهوة, المصباح, قطعة جبن, "
            "القميص الأبيض, الصفحة الأولى, صورة قديمة, الماء البارد, القمر, المظلة, فيلما جديدا"
        ),
        _list(
            "قرب النهر, في السوق, أمام البيت, خلف الجدار, على السطح, تحت الشجرة, على الشاطئ, في القرية, بجانب المتحف"
        ),
        _list("اليوم, قبل الخامسة, كل صباح, يوم الاثنين, بعد العرض, في المساء, طوال الصيف, قريبا"),
        ("S V O.", "S V O P.", "T S V O.", "S V O T.", "P S V O T."),
    ),
    "de": _Words(
        _list(
            "meine Mutter, der alte Bäcker, ein kleiner Junge, ihr Bruder, die ganze Familie, eine Malerin, jeder, "
            "der Nachbar, ein junger Bauer, Uwe, Emma, der blaue Papagei, niemand, unser Pfarrer"
        ),
        _list(
            "öffnet, kauft, bemalt, bewegt, sucht, vergisst, baut, findet, verkauft, prüft, liebt, trägt, wirft, "
            "übernimmt, bekommt"
        ),
        _list(
            "eine große Kiste, warmes Brot, beide Äpfel, den gelben Ballon, ein schweres Buch, fünf weiße Hemden, "
            "frisches Wasser, die erste Seite, ein altes Foto, meinen Schirm, den Mond, viele Blumen, eine Tasse Kaffee"
        ),
        _list("am Fluss, auf dem Markt, vor dem Haus, unter der Palme, im Museum, über dem Laden, am Strand, im Dorf"),
        _list("heute, vor fünf Uhr, jeden Montag, am Abend, im Mai, einmal pro Woche, bald"),
        ("S V O.", "S V O P.", "S V T O.", "S V T O P.", "vielleicht V S O."),
    ),
    "fr": _Words(
        _list(
            "ma mère, le vieux boulanger, un petit garçon, son frère, toute la famille, une amie, le maire, "
            "la voisine, un jeune poète, Paul, Emma, le perroquet bleu, personne, mon beau-père"
        ),
        _list("ouvre, achète, peint, bouge, cherche, oublie, prépare, trouve, vend, porte, aime, boit, montre, garde"),
        _list(
            "une grande boîte, la carte du pays, du pain chaud, un mauvais film, le bateau jaune, un livre, "
            "des fleurs mauves, son café, une lampe, un bout de fromage, sept chemises, la première page, de l'eau, "
            "la lune, un parapluie, une soupe de poisson"
        ),
        _list(
            "au bord du fleuve, au marché, près de chez nous, sur le toit, sous un palmier, à la plage, devant le musée"
        ),
        _list("aujourd'hui, avant cinq heures, chaque lundi, le matin, au mois de mai, tout l'été, ce soir, bientôt"),
        ("S V O.", "S V O P.", "T, S V O.", "S V O T.", "peut-être que S V O P."),
    ),
}

LANGUAGES = tuple(_WORDS)
"""espeak-ng's names of the languages that sentences are made for."""


def sentence(language: str, rng: np.random.Generator) -> str:
    """Return a sentence drawn from the language's word lists."""
    words = _WORDS[language]
    lists = {"S": words.subject, "V": words.verb, "O": words.object, "P": words.place, "T": words.time}
    pattern = words.patterns[rng.integers(len(words.patterns))]
    parts: list[str] = []
    for token in pattern.split():
        key = token.rstrip(".,")
        choice = str(rng.choice(lists[key])) if key in lists else key
        parts.append(choice + token[len(key) :])
    return " ".join(parts)
