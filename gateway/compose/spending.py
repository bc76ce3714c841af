"""What clouds have cost so far, for a gateway that starts."""

import asyncio

from gateway.compose.parts import Parts
from gateway.domain.cost import day_of, first_of_month
from gateway.domain.ports import Clock, Journal, JournalReader
from gateway.file_errors import JournalUnreadable
from gateway.runtime.spending import Spending


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
