"""The sample books of a demonstration: each gets a category by its author, and a price and copies that a seed draws."""

import csv
import io
import random
from typing import Final

_PRICES: Final = (795, 895, 990, 1190, 1290, 1450, 1690, 1895, 2190, 2490)
_MOST_COPIES: Final = 40
_SOLD_OUT_ONE_IN: Final = 25
_OTHER: Final = "Novela"
_CATEGORIES: Final = {
    "Fantasía": (
        "J.K. Rowling; J.R.R. Tolkien; George R.R. Martin; C.S. Lewis; Rick Riordan; Christopher Paolini; "
        "Philip Pullman; Cassandra Clare; Gregory Maguire; William Goldman; Kerstin Gier; Michael Ende; "
        "Amish Tripathi; Diana Gabaldon; Ransom Riggs; Madeleine L'Engle"
    ),
    "Juvenil": (
        "Suzanne Collins; Stephenie Meyer; Veronica Roth; John Green; James Dashner; S.E. Hinton; Rainbow Rowell; "
        "E. Lockhart; Jay Asher; Ann Brashares; Stephen Chbosky; Susan Beth Pfeffer; Mark Cotta Vaz; Yuu Watase; "
        "Louis Sachar; Lois Lowry"
    ),
    "Infantil": (
        "Shel Silverstein; Maurice Sendak; E.B. White; Wilson Rawls; Robert Kapilow; Antoine de Saint-Exupéry; "
        "Frances Hodgson Burnett; L.M. Montgomery"
    ),
    "Clásicos": (
        "Jane Austen; Homer; Plato; William Shakespeare; Charles Dickens; Mark Twain; Alexandre Dumas; Victor Hugo; "
        "Oscar Wilde; Emily Brontë; Charlotte Brontë; Nathaniel Hawthorne; Louisa May Alcott; Bram Stoker; "
        "Mary Wollstonecraft Shelley; Anonymous; Sun Tzu; F. Scott Fitzgerald; Hermann Hesse"
    ),
    "Suspense": (
        "Dan Brown; Stieg Larsson; Gillian Flynn; Paula Hawkins; John Grisham; Agatha Christie; Tom Clancy; "
        "Clive Cussler; Joël Dicker; Stephen King; Anne Rice; Carlos Ruiz Zafón"
    ),
    "Ciencia ficción": (
        "George Orwell; Aldous Huxley; Ray Bradbury; Frank Herbert; Orson Scott Card; Douglas Adams; Andy Weir; "
        "Philip K. Dick; Michael Crichton; Kurt Vonnegut Jr."
    ),
    "No ficción": (
        "Anne Frank; Elizabeth Gilbert; Jon Krakauer; Malcolm Gladwell; Walter Isaacson; Steven D. Levitt; "
        "Laura Hillenbrand; Dale Carnegie; Mitch Albom; Elie Wiesel; Tina Fey; David Sedaris; Azar Nafisi; "
        "Jeannette Walls; Marjane Satrapi; Hunter S. Thompson; Christopher Hitchens"
    ),
}


def complete_sample(text: str, seed: int, *, decimals: bool) -> str:
    """Returns a CSV of books with categories, prices and copies. The same seed gives the same text.

    The column `authors` decides the category. One book in 25 is sold out. Currencies without `decimals` have prices
    of hundreds.
    """
    drawn = random.Random(seed)
    known = {author: name for name, authors in _CATEGORIES.items() for author in authors.split("; ")}
    reader = csv.DictReader(io.StringIO(text))
    written = io.StringIO()
    added = ["category", "price", "stock"]
    writer = csv.DictWriter(written, [*(reader.fieldnames or ()), *added], lineterminator="\n")
    writer.writeheader()
    for row in reader:
        first = (row.get("authors") or "").partition(",")[0].strip()
        copies = 0 if drawn.randrange(_SOLD_OUT_ONE_IN) == 0 else drawn.randint(3, _MOST_COPIES)
        price = drawn.choice(_PRICES)
        values = (known.get(first, _OTHER), f"{price / 100:.2f}" if decimals else str(price), str(copies))
        writer.writerow({**row, **dict(zip(added, values, strict=True))})
    return written.getvalue()
