// Pick a table: what it is made of and what is made of it stays bright; its columns lead back to the file.
(() => {
  const columns = JSON.parse(document.getElementById("columns").textContent);
  const nodes = [...document.querySelectorAll(".node")], edges = [...document.querySelectorAll(".edge")];
  const byId = (id) => document.getElementById(id);

  const reach = (start, from, to) => {
    const seen = new Set([start]), todo = [start];
    while (todo.length) {
      const key = todo.pop();
      for (const edge of edges)
        if (edge.dataset[from] === key && !seen.has(edge.dataset[to])) {
          seen.add(edge.dataset[to]);
          todo.push(edge.dataset[to]);
        }
    }
    return seen;
  };

  // A column and what it is made of, down to the file, as a nested list.
  const tree = (column, above) => {
    const list = document.createElement("ul"), item = document.createElement("li");
    item.textContent = column;
    list.append(item);
    const cut = column.lastIndexOf(".");
    const found = (columns[column.slice(0, cut)] || []).find(([name]) => name === column.slice(cut + 1));
    for (const source of found ? found[2] : [])
      if (!above.includes(source)) item.append(tree(source, [...above, column]));
    return list;
  };

  const pickColumn = (table, name, button) => {
    for (const other of document.querySelectorAll("#picked-columns button")) other.removeAttribute("aria-pressed");
    button.setAttribute("aria-pressed", "true");
    byId("picked-column").textContent = name;
    byId("picked-origin").replaceChildren(tree(`${table}.${name}`, []));
  };

  const pick = (node, scroll) => {
    const key = node.dataset.key, relation = node.dataset.relation;
    const related = new Set([...reach(key, "to", "from"), ...reach(key, "from", "to")]);
    document.body.classList.add("has-picked");
    for (const other of nodes) {
      other.classList.toggle("related", related.has(other.dataset.key));
      other.classList.toggle("picked", other === node);
    }
    for (const edge of edges) {
      const up = reach(key, "to", "from"), down = reach(key, "from", "to");
      edge.classList.toggle("related", (up.has(edge.dataset.from) && up.has(edge.dataset.to))
        || (down.has(edge.dataset.from) && down.has(edge.dataset.to)));
    }
    const template = document.querySelector(`template[data-table="${CSS.escape(relation)}"]`);
    byId("picked-name").textContent = relation;
    byId("picked-text").textContent = template.dataset.text;
    byId("picked-page").href = template.dataset.page;
    byId("picked-sql").replaceChildren(template.content.cloneNode(true));
    byId("picked-column").textContent = "a column";
    const hint = document.createElement("p");
    hint.className = "dim";
    hint.textContent = "Pick a column.";
    byId("picked-origin").replaceChildren(hint);
    byId("picked-columns").replaceChildren(...columns[relation].map(([name, type]) => {
      const item = document.createElement("li"), button = document.createElement("button"), kind = document.createElement("span");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => pickColumn(relation, name, button));
      kind.className = "dim";
      kind.textContent = ` ${type}`;
      item.append(button, kind);
      return item;
    }));
    byId("picked").hidden = false;
    if (scroll) byId("picked").scrollIntoView({ behavior: "smooth", block: "nearest" });
  };

  for (const node of nodes)
    node.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      history.replaceState(null, "", `#${node.dataset.relation}`);
      pick(node, true);
    });
  const open = () => {
    const wanted = decodeURIComponent(location.hash.slice(1));
    const node = nodes.filter((n) => n.dataset.relation === wanted).pop();
    if (!node) return;
    pick(node, false);
    const box = node.closest(".scroll"), place = node.getBoundingClientRect(), frame = box.getBoundingClientRect();
    box.scrollLeft += place.left - frame.left - frame.width / 2;
  };
  addEventListener("hashchange", open);
  open();
})();
