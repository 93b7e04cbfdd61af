"""The commands about the bookstore: `shop` and its subcommands, which use the records of the persistence server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number

from clients.accounts.resets import link_to_reset
from clients.accounts.tenants import get_tenant
from clients.cli.files import CHUNK_BYTES, DEFAULT_UPLOAD_BYTES, create_progress, name_source, open_source
from clients.cli.output import Output, print_error, print_note
from clients.cli.targets import PERSISTENCE, read_gateway_url, read_setting, resolve_target
from clients.errors import ClientError, WrongUsage
from clients.persistence import PersistenceClient
from clients.shop import loads
from clients.shop.demo import FIRST_CUSTOMER, MAX_BYTES, fill_shop
from clients.shop.loads import BookLoad, LoadDefaults, LoadReport
from clients.shop.search_state import list_requested_indexes, request_index
from shared.domain.books import check_price
from shared.domain.errors import InvalidParams
from shared.domain.stock import MAX_COUNT
from shared.domain.tenants import MAIN
from shared.recommendations.evaluation import evaluate_baskets

shop = App(
    name="shop",
    help="The bookstore: load and undo files of books; fill it for a look; build its search index; measure "
    "recommendations.",
)

_SAMPLE = Path(__file__).parents[1] / "samples/books.csv"
_REINDEX_POLL_SECONDS = 0.2
_COLUMNS = ("load", "state", "rows", "books", "name")

LoadId = Annotated[str, Parameter(help="The load's id, which `shop loads` lists.")]
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=1000), help="The maximum number.")]
Flag = Parameter(negative="", show_default=False)


class Shop(NamedTuple):
    """The records of one tenant, and the decimals of its currency."""

    records: PersistenceClient
    exponent: int


@Parameter(name="*")
@dataclass(frozen=True)
class ShopOptions:
    """Options of the commands about the bookstore."""

    tenant: Annotated[str, Parameter(help="The shop's tenant.")] = MAIN
    host: Annotated[str | None, Parameter(help="The persistence server's name; else TCP_PERSIST_HOST.")] = None
    port: Annotated[int | None, Parameter(alias="-p", help="Its port; else TCP_PERSIST_PORT.")] = None
    json: Annotated[bool, Parameter(negative="", show_default=False, help="JSON lines, also on a terminal.")] = False

    @contextlib.asynccontextmanager
    async def open_shop(self) -> AsyncIterator[Shop]:
        """Connects to the persistence server, for the tenant. Raises NotFound for an unknown one."""
        async with PersistenceClient(*resolve_target(self.host, self.port, PERSISTENCE)) as client:
            stored = await get_tenant(client, self.tenant)
            yield Shop(client.of(self.tenant), stored.record.exponent)


@Parameter(name="*")
@dataclass(frozen=True)
class BookDefaults:
    """Values of books whose row does not have them."""

    price: Annotated[str | None, Parameter(help="The price of books without one; else they are not for sale.")] = None
    stock: Annotated[
        int | None,
        Parameter(validator=Number(gte=0, lte=MAX_COUNT), help="The copies of books without a count; else none."),
    ] = None
    category: Annotated[str, Parameter(help="The category of books without one.")] = ""
    editorial: Annotated[str, Parameter(help="The publisher of books without one.")] = ""

    def convert(self, exponent: int) -> LoadDefaults:
        """Returns the values for a currency with `exponent` decimals. Raises WrongUsage for an invalid price."""
        try:
            price = None if self.price is None else check_price(Decimal(self.price), exponent)
        except (InvalidOperation, InvalidParams):
            raise WrongUsage(f"--price {self.price} is not a price", hint="for example 12.90") from None
        return LoadDefaults(price, self.stock, self.category, self.editorial)


_OPTIONS = ShopOptions()
_DEFAULTS = BookDefaults()


@shop.command(name="load")
async def load_books(
    file: Annotated[str, Parameter(allow_leading_hyphen=True, help="A CSV file; - is standard input.")],
    /,
    *,
    dry_run: Annotated[bool, Flag, Parameter(help="Show what would be added, and add nothing.")] = False,
    partial: Annotated[
        bool, Flag, Parameter(help="Take the other rows of a file with rows that are no books.")
    ] = False,
    defaults: BookDefaults = _DEFAULTS,
    options: ShopOptions = _OPTIONS,
) -> int:
    """Add the books of a CSV file that the shop does not have, and show every row that is wrong.

    The first line names the columns, at least title. Books that are there stay as they are, so a file can be loaded
    again. Exit status 1 when a row is no book: without --partial nothing of the file is taken then.
    """
    output = Output(json=options.json)
    most = int(read_setting("MAX_UPLOAD_BYTES", DEFAULT_UPLOAD_BYTES))
    with open_source(file) as source, create_progress() as progress:
        async with options.open_shop() as (records, exponent):
            load = BookLoad(
                records,
                name=name_source(file),
                exponent=exponent,
                max_bytes=most,
                defaults=defaults.convert(exponent),
            )
            reading = progress.add_task("reading", total=None)
            try:
                while data := await asyncio.to_thread(source.read, CHUNK_BYTES):
                    load.feed(data)
                    progress.update(reading, completed=load.rows)
                load.finish(partial=partial)
            except InvalidParams as error:
                progress.stop()
                if isinstance(report := error.details.get("report"), LoadReport):
                    _show_rows(output, report)
                raise
            progress.update(reading, completed=load.rows, total=load.rows)
            bar = progress.add_task("comparing" if dry_run else "adding", total=load.rows)

            def advance(done: int) -> None:
                progress.update(bar, completed=done)

            report = await (load.compare(advance) if dry_run else load.add(advance))
    _show_report(output, load.load, report, dry_run=dry_run)
    if report.faults:
        return print_error(ClientError(f"{report.faults:,} rows are no books; the others were taken"))
    return 0


@shop.command(name="undo")
async def undo_load(load_id: LoadId, /, *, options: ShopOptions = _OPTIONS) -> int:
    """Undo a load: takes its books off the list; those that were changed since stay."""
    async with options.open_shop() as (records, _):
        found = await loads.get_load(records, load_id)
        with create_progress() as progress:
            bar = progress.add_task("taking back", total=found.books)
            found = await loads.undo_load(records, load_id, lambda done: progress.update(bar, completed=done))
    Output(json=options.json).print_rows([msgspec.to_builtins(found)], shown=(*_COLUMNS, "kept"))
    return 0


@shop.command(name="loads")
async def list_loads(*, limit: Limit = 20, options: ShopOptions = _OPTIONS) -> int:
    """List loaded files, the latest first."""
    async with options.open_shop() as (records, _):
        found = await loads.list_loads(records, limit=limit)
    Output(json=options.json).print_rows([msgspec.to_builtins(one) for one in found], shown=(*_COLUMNS, "begun"))
    return 0


@shop.command(name="reindex")
async def reindex(
    *,
    wait: Annotated[float, Parameter(validator=Number(gte=0, lte=86_400), help="Seconds to wait for it.")] = 600.0,
    options: ShopOptions = _OPTIONS,
) -> int:
    """Rebuild the search index from the records; the old one answers meanwhile. Exit status 1 if it takes longer.

    The service shop builds it. A missing or damaged index is built without this command.
    """
    async with options.open_shop() as (records, _):
        main = records.of(MAIN)
        number = await request_index(main, options.tenant)
        deadline = asyncio.get_running_loop().time() + wait
        while (await list_requested_indexes(main)).get(options.tenant) == number:
            if asyncio.get_running_loop().time() >= deadline:
                return print_error(
                    ClientError(
                        f"the search index of {options.tenant} is not built after {wait:g} s",
                        hint="see whether the service runs: python -m clients ready shop",
                    )
                )
            await asyncio.sleep(_REINDEX_POLL_SECONDS)
    Output(json=options.json).print_members({"tenant": options.tenant, "state": "built"})
    return 0


@shop.command(name="demo")
async def fill_with_demo(
    file: Annotated[
        str | None,
        Parameter(allow_leading_hyphen=True, help="A CSV file, or - for standard input; else the sample of 200 books."),
    ] = None,
    /,
    *,
    seed: Annotated[int, Parameter(help="Another number draws other prices, lists and purchases.")] = 1,
    options: ShopOptions = _OPTIONS,
) -> int:
    """Fill a shop for a look: books, six customers, their favourites, wishes and purchases.

    The same seed makes the same shop, and what is there is not made again. The purchases are completed while the
    service shop and the workers run.
    """
    output = Output(json=options.json)
    with open_source(str(_SAMPLE) if file is None else file) as source:
        sample = source.read(MAX_BYTES + 1)
    if len(sample) > MAX_BYTES:
        raise WrongUsage(f"the sample has more than {MAX_BYTES:,} bytes", hint="shop load takes files of any size")
    try:
        text = sample.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongUsage("the sample is not UTF-8", hint="save it as UTF-8") from None
    async with PersistenceClient(*resolve_target(options.host, options.port, PERSISTENCE)) as client:
        stored = await get_tenant(client, options.tenant)
        with create_progress() as progress:
            bar = progress.add_task("filling", total=None)
            demo = await fill_shop(
                client.of(options.tenant),
                stored.record,
                text,
                seed=seed,
                progress=lambda name: progress.update(bar, description=name),
            )
    members = {"tenant": options.tenant, **msgspec.to_builtins(demo.report)}
    if demo.token is not None:
        members["first_customer"] = FIRST_CUSTOMER
        members["link"] = link_to_reset(read_gateway_url(), demo.token, ["customer"])
    output.print_members(members)
    if demo.token is None and not output.json:
        print_note(
            f"{FIRST_CUSTOMER} was there; user reset {FIRST_CUSTOMER} --tenant {options.tenant} links to a new password"
        )
    if demo.report.is_empty() and not output.json:
        print_note("everything of this seed was there, and nothing was changed")
    return 0


@shop.command(name="evaluate")
async def evaluate(
    file: Annotated[str, Parameter(allow_leading_hyphen=True, help="Orders as JSON lines; - is standard input.")],
    /,
    *,
    json: Annotated[bool, Flag, Parameter(help="JSON lines, also on a terminal.")] = False,
) -> int:
    """Measure recommendations on baskets: the `productos` of orders, oldest first.

    The first 80 % are counted, and each product of the others is hidden in turn: how often is it among the first ten?
    """
    with open_source(file) as source:
        result = evaluate_baskets(_read_baskets(source))
    Output(json=json).print_members(result._asdict())
    return 0


def _read_baskets(source: BinaryIO) -> list[list[str]]:
    baskets = []
    for number, line in enumerate(source, 1):
        try:
            basket = msgspec.json.decode(line, type=_Basket)
        except msgspec.DecodeError as error:
            raise WrongUsage(f"line {number} is no order: {error}", hint='{"productos": ["pan", "leche"]}') from None
        baskets.append(basket.productos)
    return baskets


class _Basket(msgspec.Struct):
    productos: list[str]


def _show_report(output: Output, load: str, report: LoadReport, *, dry_run: bool) -> None:
    if output.json:
        output.print_result({"load": load, "dry_run": dry_run, **msgspec.to_builtins(report)}, "")
        return
    _show_rows(output, report)
    names = ("rows", "new", "present", "without_isbn", "faults", "notes")
    output.print_members({"load": load, **{name: getattr(report, name) for name in names}})


def _show_rows(output: Output, report: LoadReport) -> None:
    """Shows the rows that are no books, and on a terminal the values that were left out."""
    output.print_rows([msgspec.to_builtins(fault) for fault in report.fault_list], "rows that are no books")
    if not output.json:
        output.print_rows([msgspec.to_builtins(note) for note in report.note_list], "values that were left out")
