// Lists open tickets and leaves a note on the first one, over gRPC, from the proto files as they are published.
//
//     npm install && npm run build
//     SOLMU_TOKEN=solmu_... node dist/tickets.js
//
// `make check-examples` runs it against a fresh system.

import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const protos = process.env.SOLMU_PROTOS ?? fileURLToPath(new URL("../../../../proto", import.meta.url));
const endpoint = process.env.SOLMU_ENDPOINT ?? "127.0.0.1:7310";

interface Ticket { id: string; number: string; subject: string; status: string }
type Callback<T> = (error: grpc.ServiceError | null, answer: T) => void;
type Method<I, O> = (input: I, metadata: grpc.Metadata, options: grpc.CallOptions, done: Callback<O>) => void;
interface Tickets {
  ListTickets: Method<{ filter: string; page_size: number }, { tickets: Ticket[] }>;
  AddNote: Method<{ ticket_id: string; text: string }, unknown>;
  GetTicket: Method<{ id: string }, Ticket>;
  close(): void;
}

const definition = loader.loadSync("solmu/ticket/v1/service.proto", {
  includeDirs: [protos], keepCase: true, longs: String, enums: String, defaults: true,
});
const api = grpc.loadPackageDefinition(definition) as any;
const client: Tickets = new api.solmu.ticket.v1.TicketService(endpoint, grpc.credentials.createInsecure());

function call<I, O>(method: Method<I, O>, input: I): Promise<O> {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${process.env.SOLMU_TOKEN}`);
  const options = { deadline: Date.now() + 10_000 };
  return new Promise((resolve, reject) => {
    method.call(client, input, metadata, options, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

const page = await call(client.ListTickets, { filter: "NOT status = closed", page_size: 10 });
for (const ticket of page.tickets) console.log(`#${ticket.number} ${ticket.status} ${ticket.subject}`);
if (page.tickets.length === 0) throw new Error("no ticket waits");
await call(client.AddNote, { ticket_id: page.tickets[0].id, text: "Looked at by the TypeScript example." });
console.log("noted");
try {
  await call(client.GetTicket, { id: "#999999" });
} catch (error) {
  console.log(`missing: ${grpc.status[(error as grpc.ServiceError).code]}`);
}
client.close();
