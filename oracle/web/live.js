"use strict";
// The live page: shows each report that the oracle sends, and says so when none comes. EventSource reconnects
// by itself.

(() => {
  const page = ProvoltPage.mount(document.getElementById("page"), { live: true });
  let report = null;
  let drawn = null;

  // At most one drawing per frame, of the latest report.
  function draw() {
    if (drawn === report) return;
    drawn = report;
    page.update(report);
    page.connection(report.finished ? "done" : "live", report.finished ? "day finished" : "live");
  }

  const events = new EventSource("/api/events");
  events.addEventListener("report", (event) => {
    report = JSON.parse(event.data);
    requestAnimationFrame(draw);
  });
  events.addEventListener("error", () => {
    if (report?.finished) return;
    // The browser gives up for good on an answer that is no stream (too many pages, a proxy's error page).
    const closed = events.readyState === EventSource.CLOSED;
    page.connection("lost", closed ? "disconnected; reload the page" : "connection lost; trying again");
  });
  page.connection("lost", "connecting");
})();
