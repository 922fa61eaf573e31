"use strict";

const TOPIC = "demo";
/** How long a cut lasts, so that one can see it. */
const CUT_MS = 1500;
/** How many events a pane shows. */
const SHOWN = 200;
/** How many events a burst has. */
const BURST = 10;
/** How long to wait before a connection that was lost is made again, at first and at most. */
const RETRY_MS = [500, 10000];

const find = (id) => document.getElementById(id);

/** Shows what stands in the way of everything; nothing hides it. */
const trouble = (text) => {
  find("trouble").textContent = text;
  find("trouble").hidden = !text;
};

/** A fresh token: each connection gets its own, so that one that has expired is never shown again. */
const freshToken = async () => {
  const response = await fetch("/demo/token", { cache: "no-store" });
  if (!response.ok) throw new Error(`no token: status ${response.status}`);
  return (await response.json()).token;
};

const socketUrl = () => `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/v1/ws`;

/**
 * What both panes share: the log, the figures, cutting, and coming back. A transport says what happens through
 * `opened`, `resumed`, `event`, `gap`, `lost` and `ended`.
 */
class Pane {
  constructor(id, title, connect) {
    this.root = find(id);
    this.root.append(find("pane").content.cloneNode(true));
    const part = (name) => this.root.querySelector(name);
    this.parts = {
      state: part(".state"), position: part(".position"), count: part(".count"), median: part(".median"),
      missed: part(".missed"), log: part(".log"), cut: part(".cut"), cutBurst: part(".cut-burst"),
    };
    const heading = part("h2");
    heading.id = `${id}-title`;
    heading.textContent = title;
    this.rate = new Chart(part(".rate-chart"), "bars");
    this.latency = new Chart(part(".latency-chart"), "dots");
    this.connect = connect;
    this.position = null;
    this.offset = null;
    this.count = 0;
    this.missed = 0;
    this.thisSecond = 0;
    this.recent = [];
    this.attempt = 0;
    this.generation = 0;
    /** When the connection opened; events appended before that are replayed. */
    this.openedAt = Infinity;
    this.close = () => {};
    this.parts.cut.addEventListener("click", () => this.cut());
    this.parts.cutBurst.addEventListener("click", () => this.cut(() => publisher.burst()));
    this.open();
  }

  /** Connects, after the last position if there is one. */
  async open() {
    const generation = ++this.generation;
    this.resume = null;
    this.openedAt = Infinity;
    this.show("connecting");
    // What a connection that was closed still says is not heard.
    const hears = {};
    for (const name of ["opened", "resumed", "event", "gap", "lost", "ended"]) {
      hears[name] = (...said) => { if (generation === this.generation) this[name](...said); };
    }
    try {
      const token = await freshToken();
      if (generation === this.generation) this.close = this.connect(token, this.position, hears);
    } catch (error) {
      hears.lost(error.message);
    }
  }

  async cut(meanwhile = async () => {}) {
    this.generation++;
    this.close();
    this.show("cut");
    this.note(`cut at ${this.position ?? "the beginning"}`, "cut");
    this.setCuttable(false);
    const wait = new Promise((done) => setTimeout(done, CUT_MS));
    await Promise.allSettled([meanwhile(), wait]);
    this.setCuttable(true);
    this.open();
  }

  setCuttable(can) {
    this.parts.cut.disabled = !can;
    this.parts.cutBurst.disabled = !can;
  }

  opened() {
    this.attempt = 0;
    this.show("live");
  }

  /** The stream continues after `position`; what was appended before it opened is caught up. */
  resumed(position, how) {
    const note = this.note("", "");
    this.resume = { caughtUp: 0, position, how, note };
    this.showResume();
  }

  showResume() {
    const { position, caughtUp, how, note } = this.resume;
    const events = caughtUp === 1 ? "1 event" : `${caughtUp} events`;
    note.textContent = `resumed at ${position}${how ? ` (${how})` : ""}, ${events} caught up`;
  }

  event(event) {
    const now = Date.now();
    const late = Math.max(0, now - event.time / 1000);
    // The chain of offsets shows that nothing is missing and nothing comes twice.
    if (this.offset !== null && event.offset <= this.offset) {
      this.note(`offset ${event.offset} came again after ${this.offset}`, "gap");
    }
    this.offset = event.offset;
    this.position = event.position;
    this.count++;
    this.thisSecond++;
    const isLive = event.time / 1000 >= this.openedAt;
    if (isLive) {
      this.latency.add(late);
      this.recent.push(late);
      if (this.recent.length > 101) this.recent.shift();
    } else if (this.resume) {
      this.resume.caughtUp++;
      this.showResume();
    }
    const when = isLive ? `${late.toFixed(late < 10 ? 1 : 0)} ms` : this.resume ? "caught up" : "history";
    this.line(event, when, isLive);
  }

  gap({ from, to, reason, position }) {
    const events = Math.max(0, to - from + 1);
    this.missed += events;
    this.note(`gap: offsets ${from} to ${to} are gone (${reason})`, "gap");
    if (position) this.position = position;
    this.offset = reason === "epoch" || reason === "fork" ? null : Math.max(this.offset ?? 0, to);
  }

  /** The connection broke: come back after a while. */
  lost(why, waitMs) {
    this.generation++;
    this.close();
    this.show("waiting");
    this.note(`connection lost${why ? `: ${why}` : ""}`, "cut");
    const [first, most] = RETRY_MS;
    const wait = waitMs ?? Math.min(most, first * 2 ** this.attempt++) * (0.75 + Math.random() / 2);
    const generation = this.generation;
    setTimeout(() => { if (generation === this.generation) this.open(); }, wait);
  }

  /** The server says not to come back. */
  ended(why) {
    this.generation++;
    this.close();
    this.show("ended");
    this.note(`ended by the server: ${why}. Reload the page to begin again.`, "gap");
  }

  show(state) {
    if (state === "live") this.openedAt = Date.now();
    this.parts.state.dataset.state = state;
    this.parts.state.textContent = state;
  }

  note(text, kind) {
    const item = document.createElement("li");
    item.className = `note ${kind}`;
    item.textContent = text;
    this.add(item);
    return item;
  }

  line(event, when, isLive) {
    const item = document.createElement("li");
    if (!isLive) item.className = "replayed";
    const cell = (name, text) => {
      const span = document.createElement("span");
      span.className = name;
      span.textContent = text;
      item.append(span);
    };
    const data = event.data;
    cell("at", event.position);
    cell("data", typeof data === "string" ? data : data?.text ?? JSON.stringify(data));
    cell("late", when);
    item.title = item.children[1].textContent;
    this.add(item);
  }

  add(item) {
    this.parts.log.prepend(item);
    while (this.parts.log.childElementCount > SHOWN) this.parts.log.lastElementChild.remove();
  }

  /** Once a frame. */
  draw() {
    this.parts.position.textContent = this.position ?? "–";
    this.parts.count.textContent = String(this.count);
    this.parts.missed.textContent = String(this.missed);
    const sorted = [...this.recent].sort((a, b) => a - b);
    const median = sorted[sorted.length >> 1];
    this.parts.median.textContent = median === undefined ? "–" : `${median.toFixed(median < 10 ? 1 : 0)} ms`;
    this.rate.draw();
    this.latency.draw();
  }

  /** Once a second. */
  tick() {
    this.rate.add(this.thisSecond);
    this.thisSecond = 0;
  }
}

/** What the next WebSocket resumes its session with. */
let resumeToken = null;

/** Receives over the browser's own EventSource. It sets no headers, so the token is in the URL: development only. */
const connectSse = (token, position, pane) => {
  const query = new URLSearchParams({ topic: TOPIC, envelope: "1", token });
  if (position) query.set("last_event_id", position);
  else query.set("from", "last:20");
  const source = new EventSource(`/v1/sse?${query}`);
  source.addEventListener("open", () => pane.opened());
  source.addEventListener("message", (message) => pane.event(JSON.parse(message.data)));
  source.addEventListener("fanfare.stream", (message) => {
    const { state } = JSON.parse(message.data);
    if (position) pane.resumed(position, state === "continue" ? "" : state);
  });
  source.addEventListener("fanfare.gap", (message) => pane.gap(JSON.parse(message.data)));
  source.addEventListener("fanfare.disconnect", (message) => {
    const { reason, reconnect, retry_after_ms: wait } = JSON.parse(message.data);
    // A token that has expired is no reason to stop: the next connection has a new one.
    if (reconnect || reason === "token_expired") pane.lost(reason, wait);
    else pane.ended(reason);
  });
  // EventSource would come back by itself, with the same URL; this page does it, with a fresh token and position.
  source.addEventListener("error", () => pane.lost(""));
  return () => source.close();
};

/**
 * Receives over WebSocket, in Fanfare's own protocol, and is in the topic's company: opening this page in another tab
 * shows both. A cut says goodbye, so we are seen to leave; a connection that breaks resumes its session before anybody
 * notices.
 */
const connectWs = (token, position, pane) => {
  const socket = new WebSocket(socketUrl());
  const send = (frame) => socket.send(JSON.stringify(frame));
  const resume = resumeToken;
  // It is good once: the next one comes with the answer.
  resumeToken = null;
  socket.addEventListener("open", () => {
    send({ id: 1, connect: { ...(resume ? { resume } : { token }), name: "demo" } });
    send({ id: 2, subscribe: { topic: TOPIC, from: position ?? { last: 20 }, presence: true } });
    send({ id: 3, presence: { topic: TOPIC, enter: { name: company.name } } });
  });
  const take = (frame) => {
    if (frame.event) pane.event(frame.event);
    else if (frame.connected) {
      company.self = frame.connected.session;
      resumeToken = frame.connected.resume ?? null;
    } else if (frame.subscribed) {
      pane.opened();
      if (position) pane.resumed(position, "");
    } else if (frame.presence) company.take(frame.presence);
    else if (frame.resume) resumeToken = frame.resume.token;
    else if (frame.gap) pane.gap(frame.gap);
    else if (frame.ping) send({ ping: {} });
    // The session cannot be resumed: begin another.
    else if (frame.error && frame.id === 1 && resume) pane.lost("", 0);
    else if (frame.error) pane.ended(frame.error.message);
    else if (frame.unsubscribed) pane.ended(frame.unsubscribed.reason);
    else if (frame.disconnect) {
      const { reason, reconnect, retry_after_ms: wait } = frame.disconnect;
      if (reconnect || resume || reason === "token_expired") pane.lost(reason, wait);
      else pane.ended(reason);
    }
  };
  socket.addEventListener("message", (message) => {
    for (const line of message.data.split("\n")) if (line.trim()) take(JSON.parse(line));
  });
  socket.addEventListener("close", (event) => pane.lost(event.reason || (event.code === 1006 ? "" : `code ${event.code}`)));
  return () => {
    company.forget();
    socket.close();
  };
};

/** Publishes over a WebSocket of its own, so that cutting a pane does not stop it. */
class Publisher {
  constructor() {
    this.sent = 0;
    this.stored = 0;
    this.id = 2;
    this.waiting = new Map();
    this.ready = null;
  }

  /** The open socket; makes one if there is none. */
  socket() {
    this.ready ??= this.open().catch((error) => { this.ready = null; throw error; });
    return this.ready;
  }

  async open() {
    const token = await freshToken();
    const socket = new WebSocket(socketUrl());
    return new Promise((resolve, reject) => {
      socket.addEventListener("open", () => socket.send(JSON.stringify({ id: 1, connect: { token, name: "demo publisher" } })));
      socket.addEventListener("message", (message) => {
        for (const line of message.data.split("\n")) {
          if (!line.trim()) continue;
          const frame = JSON.parse(line);
          if (frame.connected) resolve(socket);
          else if (frame.ping) socket.send(JSON.stringify({ ping: {} }));
          else if (frame.published || frame.error) this.settle(frame);
        }
      });
      socket.addEventListener("close", () => {
        this.ready = null;
        for (const [, { reject }] of this.waiting) reject(new Error("the publishing connection was lost"));
        this.waiting.clear();
        reject(new Error("the WebSocket gateway cannot be reached"));
      });
    });
  }

  settle(frame) {
    const waiting = this.waiting.get(frame.id);
    this.waiting.delete(frame.id);
    if (frame.error) {
      const error = new Error(frame.error.message);
      if (waiting) waiting.reject(error); else trouble(error.message);
      return;
    }
    this.stored++;
    find("published").textContent = `${this.stored} published, latest ${frame.published.position}`;
    waiting?.resolve(frame.published);
  }

  /** Publishes one event; the id makes sending it again harmless. */
  async publish(text) {
    try {
      const socket = await this.socket();
      const id = this.id++;
      const done = new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
      // Works without a secure context too, unlike randomUUID.
      const random = [...crypto.getRandomValues(new Uint32Array(3))].map((n) => n.toString(36)).join("");
      socket.send(JSON.stringify({ id, publish: { topic: TOPIC, event_id: random, data: { text, n: ++this.sent } } }));
      await done;
      trouble("");
    } catch (error) {
      trouble(`Not published: ${error.message}`);
    }
  }

  /** Publishes a few events, one after the other. */
  async burst() {
    for (let n = 1; n <= BURST; n++) await this.publish(`burst ${n} of ${BURST}`);
  }
}

const publisher = new Publisher();
const company = new Company(find("company"));
const panes = [
  new Pane("sse", "EventSource", connectSse),
  new Pane("ws", "WebSocket", connectWs),
];

find("publish").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = find("text");
  publisher.publish(input.value || "hello");
  input.value = "";
});
find("burst").addEventListener("click", () => publisher.burst());

let steady = null;
const setSteady = () => {
  clearInterval(steady);
  const rate = Number(find("rate").value);
  find("rate-shown").textContent = String(rate);
  if (find("steady").checked) steady = setInterval(() => publisher.publish("steady"), 1000 / rate);
};
find("steady").addEventListener("change", setSteady);
find("rate").addEventListener("input", setSteady);
setSteady();

setInterval(() => panes.forEach((pane) => pane.tick()), 1000);
const frame = () => {
  panes.forEach((pane) => pane.draw());
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
