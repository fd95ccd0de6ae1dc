// The other side of the protocol, complete: one session in local storage, reconnect with backoff and jitter, replay by
// last_seq, and every message sent again under the same id until it is acknowledged.
"use strict";
const inbox = document.body.dataset.inbox;
const key = `solmu-chat-${inbox}`;
const log = document.getElementById("log");
const state = document.getElementById("state");
const error = document.getElementById("error");
const form = document.getElementById("say");
const text = document.getElementById("text");
const end = document.getElementById("end");

let token = localStorage.getItem(key) || "";
let socket = null;
let lastSeq = 0;
let attempt = 0;
let heartbeat = 0;
let over = false;
const waiting = new Map(); // client_msg_id -> {text, node}

// `crypto.randomUUID` is missing where the page came over plain HTTP from another machine.
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const frame = (type, body = {}) => {
  if (socket && socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ type, id: newId(), ts: new Date().toISOString(), body }));
  }
};

const line = (who, said, out) => {
  const node = document.createElement("p");
  const name = document.createElement("span");
  name.className = "who";
  name.textContent = `${who}: `;
  node.append(name, said);
  node.className = out ? "out" : "";
  log.append(node);
  log.scrollTop = log.scrollHeight;
  return node;
};

const sendWaiting = () => {
  for (const [id, { text: said }] of waiting) frame("message", { client_msg_id: id, text: said });
};

const handlers = {
  welcome({ body }) {
    token = body.session;
    localStorage.setItem(key, token);
    attempt = 0;
    state.textContent = "Connected";
    sendWaiting();
  },
  message({ seq, body }) {
    if (seq <= lastSeq) return;
    lastSeq = seq;
    const own = waiting.get(body.client_msg_id);
    if (!own) line(body.direction === "in" ? "You" : body.author || "Agent", body.text, body.direction === "out");
    if (body.direction === "out") frame(document.hidden ? "ack" : "read", { up_to_seq: seq });
  },
  ack({ body }) {
    const own = waiting.get(body.client_msg_id);
    if (!own) return;
    own.node.classList.remove("pending");
    waiting.delete(body.client_msg_id);
    error.textContent = "";
  },
  error({ body }) {
    if (body.code === "session_unknown" || body.code === "session_ended") {
      localStorage.removeItem(key);
      token = "";
      lastSeq = 0;
      error.textContent = "The earlier chat is over. A new one begins.";
      return;
    }
    error.textContent = `Not sent yet: ${body.code}`;
    if (body.retry_after_ms) setTimeout(sendWaiting, body.retry_after_ms);
  },
  closed({ body }) {
    over = !body.reconnect;
    if (over) {
      localStorage.removeItem(key);
      for (const control of form.elements) control.disabled = true;
    }
  },
};

const connect = () => {
  const address = new URL("/chat/v1/ws", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.searchParams.set("inbox", inbox);
  socket = new WebSocket(address);
  state.textContent = "Connecting";
  socket.addEventListener("open", () => {
    // The token goes in a frame, not in the address, which proxies write to their logs.
    frame("hello", { session: token || null, last_seq: lastSeq, language: document.documentElement.lang });
    heartbeat = setInterval(() => frame("ping"), 25000);
  });
  socket.addEventListener("message", ({ data }) => {
    const received = JSON.parse(data);
    handlers[received.type]?.(received);
  });
  socket.addEventListener("close", () => {
    clearInterval(heartbeat);
    if (over) {
      state.textContent = "The chat has ended";
      return;
    }
    const wait = Math.min(30, 2 ** attempt) * (0.5 + Math.random() / 2);
    attempt += 1;
    state.textContent = "Connection lost, trying again";
    setTimeout(connect, wait * 1000);
  });
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const said = text.value.trim();
  if (!said) return;
  const id = newId();
  const node = line("You", said, false);
  node.classList.add("pending");
  waiting.set(id, { text: said, node });
  frame("message", { client_msg_id: id, text: said });
  text.value = "";
  text.focus();
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
end.addEventListener("click", () => frame("end"));
connect();
