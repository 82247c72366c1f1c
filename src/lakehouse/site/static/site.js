// Search, theme, how long ago. Every page works without it.
(() => {
  const up = document.body.dataset.up;

  // On a narrow screen the menu scrolls: the page's own entry is in sight.
  const menu = document.querySelector("nav"), entry = menu.querySelector("[aria-current]");
  const showEntry = () => { menu.scrollLeft = entry.offsetLeft - (menu.clientWidth - entry.offsetWidth) / 2; };
  if (entry) { showEntry(); addEventListener("resize", showEntry); }

  const age = (iso) => {
    const seconds = Math.max(0, (Date.now() - new Date(iso)) / 1000);
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]])
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
    return "now";
  };
  const tell = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const said = age(time.dateTime);
      if (time.classList.contains("age")) time.textContent = said;
      else time.dataset.ago = said === "now" ? "just now" : `${said} ago`;
    }
  };
  tell();
  setInterval(tell, 30000);

  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = getComputedStyle(root).getPropertyValue("--is-dark").trim() === "1";
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("lakehouse-theme", root.dataset.theme); } catch { /* for this page only */ }
  });

  const input = document.getElementById("search");
  const list = document.getElementById("found");
  let picked = -1;
  const score = (entry, terms) => {
    const name = entry[0].toLowerCase(), text = entry[2].toLowerCase();
    let sum = { table: 3, page: 2, column: 1, rule: 0 }[entry[1]];
    for (const term of terms) {
      if (name === term || name.endsWith(`.${term}`)) sum += 40;
      else if (name.includes(term)) sum += 20 - name.indexOf(term) / 10;
      else if (text.includes(term)) sum += 5;
      else return -1;
    }
    return sum;
  };
  const show = () => {
    const terms = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = terms.length === 0 ? [] : (window.SITE_INDEX || [])
      .map((entry) => [score(entry, terms), entry]).filter(([s]) => s >= 0)
      .sort((a, b) => b[0] - a[0]).slice(0, 14);
    picked = -1;
    list.replaceChildren(...hits.map(([, [name, kind, text, page]]) => {
      const item = document.createElement("li"), link = document.createElement("a");
      link.href = up + page;
      for (const [cls, value] of [["what", name], ["kind", kind], ["text", text]]) {
        const span = document.createElement("span");
        span.className = cls;
        span.textContent = value;
        link.append(span);
      }
      item.append(link);
      return item;
    }));
    if (terms.length && !hits.length) {
      const item = document.createElement("li");
      item.className = "none";
      item.textContent = "Nothing is called that.";
      list.append(item);
    }
    list.hidden = terms.length === 0;
  };
  const pick = (step) => {
    const links = [...list.querySelectorAll("a")];
    if (!links.length) return;
    links[picked]?.classList.remove("picked");
    picked = (picked + step + links.length) % links.length;
    links[picked].classList.add("picked");
    links[picked].scrollIntoView({ block: "nearest" });
  };
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") { event.preventDefault(); pick(1); }
    else if (event.key === "ArrowUp") { event.preventDefault(); pick(-1); }
    else if (event.key === "Enter") (list.querySelectorAll("a")[Math.max(picked, 0)])?.click();
    else if (event.key === "Escape") { input.value = ""; show(); input.blur(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) {
      event.preventDefault();
      input.focus();
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".find")) list.hidden = true;
  });

  const filter = document.getElementById("filter");
  filter?.addEventListener("input", () => {
    const terms = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const card of document.querySelectorAll("[data-text]"))
      card.hidden = !terms.every((term) => card.dataset.text.toLowerCase().includes(term));
    for (const section of document.querySelectorAll(".filtered"))
      section.hidden = !section.querySelector("[data-text]:not([hidden])");
  });
})();
