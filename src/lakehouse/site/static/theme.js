// Before the page is drawn: the reader's choice, else the system's.
(() => {
  try {
    const chosen = localStorage.getItem("lakehouse-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch { /* storage may be closed; then the system decides */ }
})();
// What is drawn in the colours of the page is drawn again when these change.
window.onScheme = (draw) => {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
};
