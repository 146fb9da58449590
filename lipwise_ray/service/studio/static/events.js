// A stream of events that comes back: after an answer by which browsers give up, and after a time in the background.

const AGAIN_MS = 5000;

/**
 * Listens for as long as the page is seen: a browser opens six connections to a server, and each tab would keep one.
 * `acts` are called by the names of events; the function that is returned ends it.
 */
export function listen(address, acts) {
  let source = null;
  let waiting = 0;
  let isOver = false;
  const close = () => {
    clearTimeout(waiting);
    source?.close();
    source = null;
  };
  const open = () => {
    if (isOver || source || document.hidden) return;
    source = new EventSource(address);
    Object.entries(acts).forEach(([name, act]) => source.addEventListener(name, act));
    source.addEventListener("error", () => {
      if (source?.readyState !== EventSource.CLOSED) return; // the browser asks again by itself
      close();
      waiting = setTimeout(open, AGAIN_MS);
    });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
  return () => {
    isOver = true;
    close();
  };
}
