"""The courier: tells others what has happened, by webhook and by notification.

It reads the news (orchestrator/news.py), works out who wants to know, and delivers. A subscription
names one receiver and what it wants to hear of; a delivery is one message to one receiver.

What is promised:

- **At least once.** A line of news becomes deliveries in the same step in which the courier's place
  in the news moves on, so none is forgotten and none is made twice. Who is killed while sending
  leaves a lease behind; when it runs out, another courier sends again. `webhook-id` is the same at
  every attempt: a receiver that remembers it sees each message once.
- **In order, as far as that can be.** Deliveries of one subscription are begun in the order of the
  news. A few may be under way at once, and one that failed comes later than those behind it; who
  needs the order finds it in `data.news`, which only rises.
- **Nobody waits for anybody.** A subscription has a bounded number of deliveries under way, and the
  courier has room for those of all subscriptions: a receiver that hangs is slow for itself alone.
- **Not for ever.** Retries stop after about 38 hours; a receiver that has taken nothing for five
  days, or says 410 Gone, is disabled, which is told in the news and in the log.
- **Nowhere it must not.** A URL is resolved once, each address is checked, and the connection goes
  to an address that was checked (address.py).

Not promised: what the bounds cut off. More than NEWS_MAX lines of news while no courier ran: it is
said in the log. More than DELIVERIES_MAX waiting for one receiver: `deliveries_not_kept` counts it.

    subscription.py   one receiver             subscriptions.py   all of them, on the server
    expand.py         who wants which news     causes.py          what is the same again
    expander.py       reads the news           loop.py            claims, sends, settles
    delivery.py       one message to one       box.py             all of them, on the server
    signing.py        Standard Webhooks        address.py         where a connection may go
    endpoint.py       which URL is a webhook's
    webhook.py        sends one webhook        notify.py          sends one notification
    apprise_url.py    which URLs are taken     wording.py         what a notification says
    traced.py         what is told of attempts
"""
