// Filters of the front page: by table, state, layer and source. Without a script the page shows everything.
"use strict";
const form = document.querySelector("[data-filters]");
if (form) {
  const gates = [...document.querySelectorAll(".gate")];
  const opened = new Map(gates.map((gate) => [gate, gate.open]));
  const filter = () => {
    const { table, state, layer, source } = Object.fromEntries(new FormData(form));
    const wanted = table.trim().toLowerCase();
    const filtered = Boolean(wanted || state || layer || source);
    let shown = 0;
    for (const gate of gates) {
      const here = (!layer || gate.dataset.layer === layer) && (!source || gate.dataset.source === source);
      let any = false;
      for (const row of gate.querySelectorAll("[data-table]")) {
        const fits = here && row.dataset.table.includes(wanted) && (!state || row.dataset.state === state);
        row.hidden = !fits;
        any = any || fits;
        shown += fits;
      }
      gate.hidden = !any;
      gate.open = wanted || state ? any : opened.get(gate);
    }
    for (const day of document.querySelectorAll("[data-day]")) {
      day.hidden = !day.querySelector(".gate:not([hidden])");
    }
    form.querySelector("output").textContent = filtered ? `${shown} audit${shown === 1 ? "" : "s"}` : "";
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}
