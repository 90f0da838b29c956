"""All cells, as an event loop speaks with them (orchestrator/aio.py).

Where a task goes, where it is, and who is away is asked of Cells (facade.py), in threads. Here is
what waits: of each cell one connection, and rooms for calls that only its own calls fill.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Final

from orchestrator.aio_servers import AsyncServer, OneServer, Rooms, Servers
from orchestrator.announcements import Announcements
from orchestrator.answers import none_or_several
from orchestrator.cells import places
from orchestrator.cells.facade import Cells
from orchestrator.cells.news import Heard, begun, placed
from orchestrator.client import Buckstop
from orchestrator.following import AWAY, REREAD_S
from orchestrator.news import News
from orchestrator.store import Submission

_AWAY: Final = (*AWAY, OSError)
"""The last is raised where a directory is named, and nothing runs there now."""


def servers_of(buckstop: Buckstop) -> Servers:
    """Return what waits for what this client asks: at one server, or in all cells."""
    if isinstance(buckstop, Cells):
        return CellServers(buckstop)
    return OneServer(buckstop.settings.url, buckstop.settings.keys)


class CellServers:
    """Servers, where there are several cells."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._everywhere = Rooms()
        """For what is asked of all cells, or is not yet known to be in one."""
        self._servers: Mapping[str, AsyncServer] = {
            name: AsyncServer(cell.listed.where, cells.settings.keys)
            for name, cell in cells.cells.items()
        }

    def rooms_of(self, about: str = "") -> Rooms:
        """Return those of the cell that a task or a letter is known to be in."""
        name = self._cells.store.known(about)
        return self._everywhere if name is None else self._servers[name].rooms

    def rooms_for(self, submission: Submission) -> Rooms:
        """Return those of the cell that this goes to."""
        return self._servers[self._cells.cell_for(submission)].rooms

    async def rooms_of_letter(self, letter: str) -> Rooms:
        """Return those of the letter's cell; raise CellAway where nobody can know it."""
        await self.rooms_of(letter).call(partial(self._cells.store.at_letter, letter))
        return self.rooms_of(letter)

    async def announcements_of(self, task: str) -> Announcements:
        """Return who tells of a task, in its cell; or raise NotFound or CellAway."""
        cell = await self.rooms_of(task).call(partial(self._cells.store.at_task, task))
        if cell is None:
            raise none_or_several(task)
        return self._servers[cell.name].announcements

    async def news(self, after: str) -> AsyncGenerator[News, None]:
        """Yield the news of all cells behind this place, as CellNews does."""
        at = places.read(after, self._servers)
        hearing = {asyncio.create_task(self._hear(name, line)): name for name, line in at.items()}
        try:
            while True:
                heard, _ = await asyncio.wait(hearing, return_when=asyncio.FIRST_COMPLETED)
                for each in heard:
                    name = hearing.pop(each)
                    at[name], lines = each.result()
                    for line in lines:
                        yield placed(at, name, line)
                    hearing[asyncio.create_task(self._hear(name, at[name]))] = name
        finally:
            for each in hearing:
                each.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)

    async def close(self) -> None:
        """Close all connections."""
        for server in self._servers.values():
            await server.close()

    async def _hear(self, name: str, line: str) -> Heard:
        """Listen to one cell once; of one that is away nothing is heard, and nothing is lost."""
        try:
            if line == places.UNKNOWN:
                cell = self._cells.cells[name]
                return await self._servers[name].rooms.call(partial(cell.ask, begun)), []
            return line, await self._servers[name].read_news(line)
        except _AWAY:
            await asyncio.sleep(REREAD_S)
            return line, []
