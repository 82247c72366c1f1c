// Before the page is drawn: the reader's choice, else the system's.
(() => {
  try {
    const chosen = localStorage.getItem("lakehouse-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch { /* storage may be closed; then the system decides */ }
})();
