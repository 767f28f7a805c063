// Asks for this very page again every few seconds, and less often where an answer takes long. When it is not "304 unchanged",
// the parts marked data-live are renewed; rows that did not change stay the same nodes, opened details stay open, and a
// hidden page does not ask.
"use strict";

const EVERY_MS = 3000;
const PAUSE_PER_WORK = 20; // the server works at most a twentieth of the time for this page
const shown = new Map(); // id of a part or row → its HTML as the server sent it
let etag = null;

function remember(root) {
  for (const element of root.querySelectorAll("[data-live], tr[id]")) shown.set(element.id, element.outerHTML);
}

function keepOpenings(before, after) {
  for (const details of after.querySelectorAll("details[id]")) {
    const old = document.getElementById(details.id);
    if (old && before.contains(old)) details.open = old.open;
  }
}

function keepRows(before, after) {
  for (const row of after.querySelectorAll("tr[id]")) {
    const html = row.outerHTML;
    const old = document.getElementById(row.id);
    if (old && before.contains(old) && shown.get(row.id) === html) {
      old.classList.remove("fresh");
      row.replaceWith(old);
    } else {
      row.classList.add("fresh");
    }
    shown.set(row.id, html);
  }
}

function renew(page) {
  const focused = document.activeElement;
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (!fresh || fresh.outerHTML === shown.get(part.id)) continue;
    shown.set(part.id, fresh.outerHTML);
    keepOpenings(part, fresh);
    keepRows(part, fresh);
    part.className = fresh.className;
    part.replaceChildren(...fresh.childNodes);
  }
  if (focused && focused.isConnected) focused.focus({ preventScroll: true });
}

async function ask() {
  const headers = etag ? { "If-None-Match": etag } : {};
  const answer = await fetch(location.href, { headers, cache: "no-store" });
  if (answer.status !== 200) return;
  etag = answer.headers.get("ETag");
  renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
}

async function watch() {
  let took = 0;
  for (;;) {
    await new Promise((wake) => setTimeout(wake, Math.max(EVERY_MS, PAUSE_PER_WORK * took)));
    if (document.hidden) continue;
    const began = performance.now();
    try {
      await ask();
      document.body.classList.remove("away");
    } catch {
      document.body.classList.add("away"); // the server is gone; what is shown stays, greyed
    }
    took = performance.now() - began;
  }
}

remember(document);
watch();
