// Sends a file in two steps; one that is cut off goes on where it was.

import { reasonOf } from "./studio.js";

const TRIES = 6;
const PAUSE_MS = 1500;
const BUSY = 409;
const BUSY_MS = 90000; // a server may take a minute to see that the connection before is dead

/** The address on this very site: behind a proxy the server may know another name of it. */
const here = (address) => {
  const { pathname, search } = new URL(address, location.href);
  return pathname + search;
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sends a part; resolves with the status, 0 where the connection broke. */
function put(address, part, headers, onSent, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", address);
    Object.entries(headers).forEach(([name, value]) => request.setRequestHeader(name, value));
    request.upload.addEventListener("progress", (event) => onSent(event.loaded));
    request.addEventListener("load", () => resolve({ status: request.status, text: request.responseText }));
    request.addEventListener("error", () => resolve({ status: 0, text: "" }));
    request.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(part);
  });
}

/** Returns the id of the file on the server. `onProgress` is called with the share that is there. */
export async function send(file, at, onProgress, signal) {
  const announced = await fetch(`${at}/upload`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ fileName: file.name, contentType: file.type || "application/octet-stream", size: file.size }),
    signal,
  });
  if (!announced.ok) throw new Error(await reasonOf(announced));
  const { uploadUrl, url } = await announced.json();
  const address = here(uploadUrl);
  let start = 0;
  let busyUntil = 0;
  for (let tries = 1; ; tries += 1) {
    const first = start;
    const headers = first ? { "Content-Range": `bytes ${first}-${file.size - 1}/${file.size}` } : {};
    const { status, text } = await put(address, file.slice(first), headers, (sent) => onProgress((first + sent) / file.size), signal);
    if (status >= 200 && status < 300) break;
    if (status && status < 500 && status !== BUSY) throw new Error(await reasonOf(new Response(text, { status })));
    if (status === BUSY && Date.now() < (busyUntil ||= Date.now() + BUSY_MS)) tries -= 1;
    else if (tries === TRIES && text) throw new Error(await reasonOf(new Response(text, { status }))); // as that its disk is full
    else if (tries === TRIES) throw new Error("The upload was cut off again and again. Choose the file once more.");
    await pause(PAUSE_MS * Math.max(tries, 1));
    const arrived = await fetch(address, { signal }).catch(() => null);
    if (arrived?.ok) start = (await arrived.json()).received;
    if (start === file.size) break;
  }
  const registered = await fetch(at, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ url }), signal });
  if (!registered.ok) throw new Error(await reasonOf(registered));
  return (await registered.json()).id;
}
