"""Places, categories and phrases the Olist sample is made of. Nothing is from the data set."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A city: as customers write it, with its accents, state, first zip prefix, coordinates, weight."""

    city: str
    accented: str
    state: str
    first_zip: int
    latitude: float
    longitude: float
    weight: float


PLACES = (
    Place("sao paulo", "são paulo", "SP", 1000, -23.55, -46.63, 16.0),
    Place("santo andre", "santo andré", "SP", 9000, -23.66, -46.53, 6.0),
    Place("campinas", "campinas", "SP", 13000, -22.91, -47.06, 8.0),
    Place("ribeirao preto", "ribeirão preto", "SP", 14000, -21.18, -47.81, 6.0),
    Place("sao jose dos campos", "são josé dos campos", "SP", 12200, -23.22, -45.90, 5.0),
    Place("rio de janeiro", "rio de janeiro", "RJ", 20000, -22.91, -43.20, 9.0),
    Place("niteroi", "niterói", "RJ", 24000, -22.88, -43.10, 4.0),
    Place("belo horizonte", "belo horizonte", "MG", 30000, -19.92, -43.94, 7.0),
    Place("uberlandia", "uberlândia", "MG", 38400, -18.92, -48.28, 4.0),
    Place("vitoria", "vitória", "ES", 29000, -20.32, -40.34, 2.0),
    Place("salvador", "salvador", "BA", 40000, -12.97, -38.50, 4.0),
    Place("recife", "recife", "PE", 50000, -8.05, -34.88, 2.0),
    Place("fortaleza", "fortaleza", "CE", 60000, -3.73, -38.52, 2.0),
    Place("belem", "belém", "PA", 66000, -1.46, -48.49, 1.0),
    Place("manaus", "manaus", "AM", 69000, -3.12, -60.02, 0.5),
    Place("brasilia", "brasília", "DF", 70000, -15.79, -47.88, 3.0),
    Place("goiania", "goiânia", "GO", 74000, -16.69, -49.26, 2.5),
    Place("curitiba", "curitiba", "PR", 80000, -25.43, -49.27, 5.0),
    Place("florianopolis", "florianópolis", "SC", 88000, -27.60, -48.55, 3.5),
    Place("porto alegre", "porto alegre", "RS", 90000, -30.03, -51.22, 5.0),
)

#: Category in Portuguese and in English.
CATEGORIES = {
    "cafe_e_cha": "coffee_and_tea",
    "tapetes_cortinas": "rugs_curtains",
    "bicicletas": "bicycles",
    "luminarias": "lamps",
    "jardim": "gardening",
    "tecidos": "fabrics",
    "canecas_copos": "mugs_glasses",
    "camping": "camping",
    "aquarios": "aquariums",
    "relogios_parede": "wall_clocks",
    "cadernos": "notebooks",
    "ferramentas_manuais": "hand_tools",
    "sapatos": "shoes",
    "chapeus": "hats",
    "teclados_mouses": "keyboards_mice",
    "cabos_adaptadores": "cables_adapters",
    "panelas": "pots_pans",
    "quebra_cabecas": "puzzles",
    "instrumentos_corda": "string_instruments",
    "vinis": "vinyl_records",
    "sabonetes": "soaps",
    "temperos": "spices",
    "velas": "candles",
    "quadros_posters": "pictures_posters",
}
UNTRANSLATED = ("pc_gamer", "portateis_cozinha_e_preparadores_de_alimentos")

TITLES = ("Muito bom", "Ótimo!", "Demorou", "Recomendo", "Não gostei", 'O "melhor"', "10", "👍", "Ok, mas…")

OPENINGS = (
    "Chegou tudo certo",
    "O pacote veio amassado",
    "Gostei bastante do produto",
    "Ainda estou esperando a entrega",
    "A cor é diferente da foto",
    "Entrega rápida",
    'Na caixa estava escrito "frágil"',
    "Comprei dois e veio só um",
    "Já é a segunda vez que compro aqui",
    ", não sei o que dizer",
)
ENDINGS = (
    "",
    ".",
    ", recomendo a loja.",
    ", vou comprar de novo!",
    ".\r\nObrigado!",
    ".\n\nNão recomendo.",
    ", mas o manual está em inglês; pena.",
    ' e a loja respondeu: "em breve".',
    ".\r\n",
    ' "',
)
