"""Sends random readings to a Senda/1 collector, and does what it is told: a use of senda.py.

    python3 clients/python/example.py --udp 127.0.0.1:7363
"""
import argparse
import random
import sys
import time

import senda

STARTED = time.monotonic()


def on_order(client, kind, about, values):
    """Does what the collector asks for. Returns status, text and, optionally, a list of results.

    Values and results are (name, type, exponent, raw value): ('t', 'i16', -1, 215) is 21.5. A vector has more than one.
    """
    if kind == senda.ALERT:
        is_raised, severity, schema, channel, text = about
        levels = ['information', 'warning', 'critical']
        print('alert' if is_raised else 'no more alert', levels[severity], schema, channel, text, *values, flush=True)
        return senda.OK, ''
    if kind == senda.CONFIG:        # The client applies interval_ms itself; settings of your own would be applied here.
        return senda.OK, ''
    if about == ['identify']:
        return senda.OK, '', [('name', 'text', 0, client.device), ('software', 'text', 0, 'senda.py'),
                              ('uptime_s', 'f64', 0, time.monotonic() - STARTED)]
    if about == ['echo-args']:
        return senda.OK, '', values
    return senda.UNKNOWN, 'known: identify, echo-args'


def arguments():
    parser = argparse.ArgumentParser(description='Sends random readings to a Senda/1 collector.')
    parser.add_argument('--tcp', metavar='HOST:PORT', help='the collector, over TCP')
    parser.add_argument('--udp', metavar='HOST:PORT', help='the collector, over UDP')
    parser.add_argument('--device', default='senda-py')
    parser.add_argument('--schema', default='demo')
    parser.add_argument('--interval', type=float, default=1, help='seconds from one row to the next')
    parser.add_argument('--count', type=int, default=10, help='rows to send')
    parser.add_argument('--seed', help='the same seed gives the same readings')
    parser.add_argument('--channel', action='append', metavar='NAME=TYPE[:EXPONENT][:UNIT]')
    args = parser.parse_args()
    if not args.tcp and not args.udp:
        parser.error('--tcp HOST:PORT or --udp HOST:PORT, please')
    return args


def main():
    args = arguments()
    channels = args.channel or ['temperature=i16:-1:Cel', 'humidity=u8::%RH', 'door=bool', 'status=text']
    client = senda.Client('tcp' if args.tcp else 'udp', args.tcp or args.udp, args.device, args.schema, channels,
                          args.interval, lambda *order: on_order(client, *order))
    print('sending to', args.tcp or args.udp, 'as', args.device, file=sys.stderr)
    rng, stored, start = random.Random(args.seed), 0, 0
    for _ in range(args.count):
        client.run(lambda: start + client.interval)
        start = time.monotonic()
        some = {'bool': rng.random() < 0.5, 'text': rng.choice(['ok', 'low', 'größer'])}
        values = [some.get(kind, rng.randrange(100)) for _, kind, _, _ in client.channels]
        row = client.send(values)
        if row is not None:
            stored += 1
            print('acked row', row, *values, flush=True)
    client.close()
    return 0 if stored == args.count else 1


if __name__ == '__main__':
    sys.exit(main())
