"""What clouds have cost so far, for a gateway that starts, and for a command that asks a cloud by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.compose.journal import journal_of, journal_reader_of
from gateway.compose.parts import Parts, SystemClock
from gateway.compose.workspace import Workspace
from gateway.domain.cost import day_of, first_of_month
from gateway.domain.ports import Clock, Journal, JournalReader
from gateway.file_errors import JournalUnreadable
from gateway.runtime.spending import Spending
from gateway.telemetry.logs import Redactor


async def spending_of(parts: Parts, *, journal: Journal, reader: JournalReader, clock: Clock) -> Spending:
    """Costs by the prices of the live configuration, from what the journal remembers of this month on."""
    spending = Spending(
        journal=journal,
        price_of=parts.price_of,
        providers=lambda: parts.providers,
        clock=clock,
    )
    month = first_of_month(day_of(clock.time()))
    try:
        spending.begin(await asyncio.to_thread(reader.sums, since_day=month))
    except JournalUnreadable as error:
        spending.begin_blind(error.message)
    return spending


@asynccontextmanager
async def spending_here(workspace: Workspace, parts: Parts) -> AsyncIterator[Spending]:
    """As ``spending_of``, for a process that does not serve: what is spent in the block is in the journal at its end. A gateway
    that runs meanwhile counts it from its next start on."""
    redactor = Redactor()
    workspace.keys.tell(redactor.add)
    for key in filter(None, map(workspace.keys.key, parts.providers)):
        redactor.add(key)
    journal = journal_of(workspace.state_folder, redactor=redactor)
    journal.start()
    try:
        reader = journal_reader_of(workspace.state_folder)
        yield await spending_of(parts, journal=journal, reader=reader, clock=SystemClock())
    finally:
        await asyncio.to_thread(journal.close)
