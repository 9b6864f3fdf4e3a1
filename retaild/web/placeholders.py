"""A tidy picture for a product without one: an icon by what it is, a tint by its category.

Deterministic: the same product looks the same on every page and after every restart.
"""

from __future__ import annotations

import re
from functools import lru_cache
from zlib import crc32

#: Tints defined in app.css as `.tint-0` and so on.
TINTS = 8

#: Icon (a symbol in static/icons.svg) -> words that call for it. The last match in a name wins:
#: in English the head noun comes last ("TEA LIGHT HOLDER" is a holder).
_ICONS = {
    "bag": "bag bags handbag purse shopper washbag backpack rucksack tote wallet",
    "mug": "mug mugs cup cups teacup saucer beaker coffee tea teapot jug milk",
    "candle": "candle candles t-light t-lights tealight holder candleholder candlestick incense",
    "lantern": "lantern lanterns light lights lamp lampshade lampshades chandelier torch",
    "clock": "clock clocks alarm watch timer",
    "cake": "cake cakes cakestand cupcake baking cases muffin bread dessert",
    "box": "box boxes tin tins storage jar jars container crate chest case trinket bin",
    "heart": "heart hearts love sweetheart",
    "frame": "frame frames picture photo mirror mirrors wall art canvas album",
    "sign": "sign signs plaque chalkboard blackboard memoboard board letter letters hook hooks "
    "hanger doormat magnet magnets key cabinet rack",
    "jewel": "necklace bracelet ring earrings charm jewellery pearl bead beads bangle brooch "
    "tiara diamante keyring hairclip",
    "card": "card cards wrap envelope tag tags postcard gift tissue ribbon ribbons stickers tape "
    "invites paper",
    "book": "notebook sketchbook book journal diary stationery pen pencil pencils pens rubber "
    "eraser ruler calendar",
    "textile": "cushion towel cover blanket throw quilt apron tablecloth cloth scarf curtain "
    "napkin napkins pillow doorstop",
    "plate": "plate plates bowl bowls dish tray trays placemat placemats coaster coasters platter "
    "doily doilies saucepan",
    "cutlery": "cutlery spoon fork knife spoons utensil kitchen",
    "bottle": "bottle bottles glass glasses vase decanter flask wine champagne perfume",
    "flower": "flower flowers rose roses garden plant planter pot herb bulb leaf wreath lavender",
    "tree": "christmas tree xmas bauble baubles reindeer santa snowflake advent",
    "star": "star stars decoration decorations ornament bells bell glitter",
    "bunting": "bunting garland flags party balloon balloons streamer confetti",
    "toy": "toy toys doll dolls game games teddy bear puzzle dominoes ludo spinning skittles "
    "rocket spaceboy bunny rabbit kit craft",
    "umbrella": "umbrella parasol raincoat poncho",
    "bird": "bird birds birdcage owl chicken hen duck cockerel dove butterfly",
    "basket": "basket baskets hamper wicker trolley",
}
_BY_WORD = {word: icon for icon, words in _ICONS.items() for word in words.split()}
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")


@lru_cache(maxsize=8192)
def icon(name: str) -> str:
    """The symbol's id for a product's name; `tag` where no word is known."""
    found = [_BY_WORD[word] for word in _WORD.findall(name.lower()) if word in _BY_WORD]
    return found[-1] if found else "tag"


@lru_cache(maxsize=8192)
def tint(category: str | None, name: str) -> int:
    """0..TINTS-1 by category, or by icon where the category says nothing."""
    subject = category if category and category != "OTHER" else icon(name)
    return crc32(subject.lower().encode()) % TINTS
