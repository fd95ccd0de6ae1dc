"""Works through the newest open ticket: reads it, leaves a note, answers, and sets its status.

    pip install -r requirements.txt
    python -m grpc_tools.protoc -I ../../../proto --python_out=gen --grpc_python_out=gen $(cd ../../../proto && find solmu -name '*.proto')
    SOLMU_TOKEN=solmu_... PYTHONPATH=gen python inbox.py

`make check-examples` runs it against a fresh system.
"""

import os
import sys
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from solmu.ticket.v1 import service_pb2, service_pb2_grpc
from solmu.types.v1 import types_pb2


def reason(error: grpc.RpcError) -> str:
    """The stable reason of a refusal. Act on this and never on the sentence."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return error.code().name


# Seconds for one call.
TIMEOUT = float(os.environ.get("SOLMU_TIMEOUT", "10"))


def main() -> int:
    endpoint = os.environ.get("SOLMU_ENDPOINT", "127.0.0.1:7310")
    bearer = (("authorization", f"Bearer {os.environ['SOLMU_TOKEN']}"),)
    with grpc.insecure_channel(endpoint) as channel:
        tickets = service_pb2_grpc.TicketServiceStub(channel)

        def call(method, request):
            return method(request, metadata=bearer, timeout=TIMEOUT)

        page = call(tickets.ListTickets, service_pb2.ListTicketsRequest(filter="status = (new OR open)", page_size=1))
        if not page.tickets:
            print("no ticket waits")
            return 1
        ticket = page.tickets[0]
        print(f"#{ticket.number} {ticket.subject}")
        messages = call(tickets.ListMessages, service_pb2.ListMessagesRequest(ticket_id=ticket.id))
        print(f"first message: {messages.messages[0].text.strip()}")
        call(tickets.AddNote, service_pb2.AddNoteRequest(ticket_id=ticket.id, text="Looked at by the Python example."))

        # The request id makes the answer safe to repeat: sent twice, it reaches the customer once.
        request = service_pb2.ReplyToTicketRequest(
            ticket_id=ticket.id, text="We are looking into it.", request_id=str(uuid.uuid4())
        )
        first, again = call(tickets.ReplyToTicket, request), call(tickets.ReplyToTicket, request)
        assert first.id == again.id, "the same request has the same answer"
        print("answered once")

        # An etag keeps one from overwriting what somebody else did in between.
        try:
            stale = service_pb2.SetStatusRequest(
                ticket_id=ticket.id, status=types_pb2.TICKET_STATUS_RESOLVED, etag=ticket.etag
            )
            call(tickets.SetStatus, stale)
        except grpc.RpcError as error:
            print(f"stale: {error.code().name} {reason(error)}")
        # Router and SLA service change tickets as well: whoever is late reads again.
        while True:
            ticket = call(tickets.GetTicket, service_pb2.GetTicketRequest(id=ticket.id))
            resolved = service_pb2.SetStatusRequest(
                ticket_id=ticket.id, status=types_pb2.TICKET_STATUS_RESOLVED, etag=ticket.etag
            )
            try:
                call(tickets.SetStatus, resolved)
                break
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.ABORTED:
                    raise
        print("resolved")
    return 0


if __name__ == "__main__":
    sys.exit(main())
