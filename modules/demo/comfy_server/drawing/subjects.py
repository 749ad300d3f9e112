"""What a prompt's words, English or Spanish, say about a picture: where, when, in which weather, and who."""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass

_PLACES = {
    "sea": "sea ocean lake river beach island harbor harbour wave ship whale lighthouse boat pirate "
    "mar oceano lago rio playa isla puerto ola barco ballena faro bote velero pirata",
    "city": "city town street skyline market tower tram train metro taxi cyberpunk neon tokyo york robot "
    "ciudad pueblo calle mercado torre tranvia tren neon",
    "forest": "forest wood woods jungle tree trees mushroom deer owl fairy elf greenhouse garden "
    "bosque selva arbol arboles hongo seta ciervo buho hada duende invernadero jardin",
    "dunes": "desert dune dunes sand mars camel pyramid canyon desierto duna "
    "dunas arena marte camello piramide",
    "space": "space planet planets galaxy star stars astronaut rocket alien moon nebula saturn ufo "
    "espacio planeta planetas galaxia astronauta cohete alienigena luna nebulosa saturno ovni",
    "flow": "abstract pattern fractal energy music dream portrait face logo abstracto patron fractal energia "
    "musica sueno retrato cara rostro",
    "hills": "hill hills field meadow flower flowers village farm cottage house horse dog cat fox picnic "
    "balloon colina colinas campo prado flor flores aldea granja casa cabana caballo perro gato zorro globo",
    "mountains": "mountain mountains alps peak castle dragon valley wolf bear eagle ice glacier knight "
    "montana montanas alpes pico castillo dragon valle lobo oso aguila hielo glaciar caballero",
}
_TIMES = {
    "night": "night midnight moonlight stars lantern owl noche medianoche estrellas linterna farol buho",
    "sunset": "sunset dusk evening atardecer ocaso anochecer crepusculo",
    "dawn": "dawn sunrise morning amanecer alba manana",
    "day": "day noon sunny summer spring dia mediodia soleado verano primavera",
}
_LIGHTS = {
    "neon": "neon cyberpunk synthwave vaporwave",
    "red": "mars canyon marte",
    "aurora": "aurora northern boreal",
}
"""These win even if the prompt also names a time of day."""
_WEATHERS = {
    "snow": "snow snowy winter ice icy christmas nieve nevado nevada nieva invierno hielo navidad",
    "rain": "rain storm rainy stormy thunder lluvia tormenta llueve lluvioso",
    "fog": "fog mist misty foggy haze niebla bruma neblina",
}
_FIGURES = {
    "fox": "fox wolf dog zorro lobo perro",
    "cat": "cat kitten gato gatito gata",
    "owl": "owl bird buho pajaro",
    "lighthouse": "lighthouse faro",
    "castle": "castle palace castillo palacio",
    "boat": "boat ship sail pirate barco bote velero pirata",
    "house": "house cabin cottage farm casa cabana granja",
    "robot": "robot android androide",
    "person": "person man woman girl boy knight astronaut samurai wizard reader traveler persona hombre "
    "mujer nina nino caballero astronauta mago viajero",
    "tram": "tram train bus tranvia tren autobus",
    "balloon": "balloon balloons globo globos",
    "whale": "whale ballena",
    "rocket": "rocket cohete",
}
_LIKELY_TIMES = ("sunset", "dusk", "night", "day", "dawn", "sunset")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """``place`` names a scene, ``time`` a palette, ``weather`` what falls or lies over it, ``figure`` who or
    what stands in front; the last two may be empty."""

    place: str
    time: str
    weather: str
    figure: str


def subject_of(prompt: str, plan: random.Random) -> Subject:
    """What ``prompt`` is about. What it does not say, ``plan`` decides."""
    words = _words(prompt)
    place, time = _said(words, _PLACES), time_of(prompt)
    chance, hour = plan.choice(tuple(_PLACES)), plan.choice(_LIKELY_TIMES)
    return Subject(
        place=place or chance,
        time=time or hour,
        weather=_said(words, _WEATHERS),
        figure=_said(words, _FIGURES),
    )


def weather_of(prompt: str) -> str:
    """The weather that ``prompt`` asks for, or nothing."""
    return _said(_words(prompt), _WEATHERS)


def time_of(prompt: str) -> str:
    """The time of day that ``prompt`` asks for, or nothing."""
    words = _words(prompt)
    return _said(words, _LIGHTS) or _said(words, _TIMES)


def _words(prompt: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", prompt[:2000].lower())
    return re.findall(r"[a-z]+", "".join(char for char in plain if not unicodedata.combining(char)))


def _said(words: list[str], of: dict[str, str]) -> str:
    """The first word of the prompt that stands for something decides."""
    for word in words:
        for meaning, names in of.items():
            if word in names.split():
                return meaning
    return ""
