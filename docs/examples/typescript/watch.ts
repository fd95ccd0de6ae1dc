// Prints changes of tickets as they happen, over JSON and HTTP, with nothing but fetch. Goes on where it was when the
// connection is lost: each change has a cursor.
//
//     SOLMU_TOKEN=solmu_... node dist/watch.js
//
// With SOLMU_CHANGES=3 it ends after three.

const api = process.env.SOLMU_API ?? "http://127.0.0.1:7313";
const wanted = Number(process.env.SOLMU_CHANGES ?? Infinity);

interface Line {
  result?: { cursor: string; type?: string; summary?: string; ticket?: { number: string } };
  error?: { code: number; message: string };
}

async function* watch(cursor: string): AsyncGenerator<Line> {
  const answer = await fetch(`${api}/v1/solmu.ticket.v1.TicketService/WatchTickets`, {
    method: "POST",
    headers: { authorization: `Bearer ${process.env.SOLMU_TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify({ cursor }),
  });
  if (!answer.ok || !answer.body) throw new Error(`${answer.status}: ${await answer.text()}`);
  if (cursor === "") console.log("watching");
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line) yield JSON.parse(line) as Line;
  }
}

let cursor = "";
let seen = 0;
while (seen < wanted) {
  for await (const line of watch(cursor)) {
    if (line.error) {
      console.error(`the stream ended: ${line.error.message}`);
      break;
    }
    cursor = line.result?.cursor ?? cursor;
    console.log(`#${line.result?.ticket?.number} ${line.result?.summary ?? ""}`);
    seen += 1;
    if (seen >= wanted) break;
  }
}
process.exit(0);
