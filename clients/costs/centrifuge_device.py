"""A client of centrifuge-python, for measure.py: a line when it is online, and one a message."""

import asyncio
import json
import sys

from centrifuge import Client, SubscriptionEventHandler


def tell(event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Handler(SubscriptionEventHandler):
    async def on_subscribed(self, ctx):
        tell({"state": "online"})

    async def on_publication(self, ctx):
        tell({"event": "message", "id": ctx.pub.data["n"]})


async def main():
    client = Client(sys.argv[1])
    await client.connect()
    await client.new_subscription("c", events=Handler()).subscribe()
    await asyncio.Event().wait()


asyncio.run(main())
