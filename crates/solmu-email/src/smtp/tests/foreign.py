"""Odd and ordinary dialogues from a client of another making: Python's smtplib and OpenSSL.

Arguments: the ports of SMTP and SMTP over TLS, the path of the LMTP socket, the file of the trusted certificate.
Says what went wrong and ends with 1, or ends with 0.
"""

import smtplib
import socket
import ssl
import sys

SMTP, SMTPS = int(sys.argv[1]), int(sys.argv[2])
LMTP, TRUSTED = sys.argv[3], sys.argv[4]
HOST, NAME, TIMEOUT = "127.0.0.1", "desk.example", 120
SUPPORT, SALES = "support@desk.example", "sales@desk.example"


def check(holds, what):
    if not holds:
        sys.exit(f"failed: {what}")


def context():
    return ssl.create_default_context(cafile=TRUSTED)


def mail(number, body="x"):
    return f"Message-ID: <py{number}@c.example>\r\nSubject: s\r\n\r\n{body}\r\n"


def ordinary():
    with smtplib.SMTP(HOST, SMTP, timeout=TIMEOUT) as client:
        client.ehlo("c.example")
        check(client.has_extn("chunking") and client.has_extn("starttls"), client.esmtp_features)
        client._host = NAME
        check(client.starttls(context=context())[0] == 220, "starttls")
        check(client.sock.version() == "TLSv1.3", client.sock.version())
        check(client.ehlo_resp is None, "smtplib forgot what was said before")
        client.ehlo("c.example")
        check(not client.has_extn("starttls"), "starttls is not offered twice")
        refused = client.sendmail("a@c.example", [SUPPORT, "no@desk.example"], mail(1, ".\r\n..\r\n.x"))
        check(list(refused) == ["no@desk.example"], refused)
        big = mail(2, "\r\n".join(["y" * 900] * 2000))
        client.sendmail("a@c.example", [SUPPORT], big, mail_options=["BODY=8BITMIME", f"SIZE={len(big)}"])
    old = context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    raw = socket.create_connection((HOST, SMTPS), TIMEOUT)
    with old.wrap_socket(raw, server_hostname=NAME) as stream:
        check(stream.version() == "TLSv1.2", stream.version())
        lines = stream.makefile("rb")
        check(lines.readline().startswith(b"220 "), "greeting over TLS")
        # All of it at once, with a chunk between.
        data = mail(3).encode()
        stream.sendall(
            b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n" % (SUPPORT.encode(), len(data))
            + data
            + b"QUIT\r\n"
        )
        finals = [line[:3] for line in lines if line[3:4] == b" "]
        check(finals == [b"250", b"250", b"250", b"250", b"221"], finals)


def lmtp():
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(TIMEOUT)
        stream.connect(LMTP)
        lines = stream.makefile("rb")
        check(lines.readline().startswith(b"220 "), "greeting of LMTP")
        stream.sendall(
            b"LHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<%s>\r\nRCPT TO:<no@desk.example>\r\nRCPT TO:<%s>\r\nDATA\r\n"
            % (SUPPORT.encode(), SALES.encode())
            + mail(4).encode()
            + b".\r\nQUIT\r\n"
        )
        finals = [line[:3] for line in lines if line[3:4] == b" "]
        check(finals == [b"250", b"250", b"250", b"550", b"250", b"354", b"250", b"250", b"221"], finals)


def told(*pieces):
    """What a client is told that sends `pieces` and then listens."""
    with socket.create_connection((HOST, SMTP), TIMEOUT) as stream:
        lines = stream.makefile("rb")
        lines.readline()
        for piece in pieces:
            stream.sendall(piece)
        stream.shutdown(socket.SHUT_WR)
        return [line.rstrip(b"\r\n") for line in lines if line[3:4] == b" "]


def odd():
    injected = told(b"EHLO c\r\n", b"STARTTLS\r\nMAIL FROM:<a@c.example>\r\n")
    check(injected[-1].startswith(b"554 5.5.1"), injected)
    check(told(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")[0].startswith(b"500"), "a browser")
    check(told(b"EHLO c\nMAIL FROM:<>\n")[0].startswith(b"500"), "bare line feeds")
    check(told(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600) + b"\r\n")[0].startswith(b"5"), "TLS without STARTTLS")
    envelope = b"EHLO c\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<%s>\r\nDATA\r\n" % SUPPORT.encode()
    check(told(envelope + b"Subject: cut off\r\n\r\nx\r\n.\r")[-1].startswith(b"354"), "an end that is cut off")
    smuggled = told(envelope + b"Subject: x\r\n\r\nx\r\n.\n" + envelope[8:] + b"x\r\n.\r\nQUIT\r\n")
    check(smuggled[-1].startswith(b"550 5.6.11"), smuggled)
    noise = told(envelope + bytes(range(256)) * 40 + b"\r\n.\r\n")
    check(noise[-1].startswith(b"550 5.6.11"), noise)


ordinary()
lmtp()
odd()
