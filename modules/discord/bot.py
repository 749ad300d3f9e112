"""ImageBot: connects to Discord, guards the guild before anything else, loads the cogs.

How ``bot.py`` at the root puts it together::

    bot = ImageBot(database=db, offers=offers, cleaner=cleaner, presenter=presenter, clock=clock, ...)
    queue = QueueManager(offers=offers, store=db.jobs, clock=clock,
                         delivery=bot.delivery, listeners=bot.listeners, ...)
    fleet = Fleet(manager=queue, make_engine=...)
    bot.attach(queue=queue, fleet=fleet, start=..., reload=...)
    await bot.start(token)            # discord.py's own; ends with bot.close()
    await bot.say_goodbye()           # before closing: status messages say that the place is kept

``start`` (an async function of no arguments) is awaited once, when the guild is known to be the right
one: it recovers the queue and hands the fleet its URLs. In set-up mode and in a wrong guild it never is.
"""

from __future__ import annotations
