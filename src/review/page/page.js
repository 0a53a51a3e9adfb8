"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("data").textContent);
  const words = { allowed: "yes", constrained: "yes, if", refused: "no", hidden: "–", failed: "error" };
  const STEP = 300;
  let limit = STEP;

  // Whatever comes from the data goes in as text, and as nothing else.
  const make = (name, text, kind) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (kind) node.className = kind;
    return node;
  };
  const option = (select, value, text) => {
    const node = make("option", text);
    node.value = value;
    select.append(node);
  };

  at("policy").textContent = data.policy;
  data.who.forEach((who, index) => option(at("who"), String(index), who.name));
  [...new Set(data.what.map((what) => what.server))].forEach((name) => option(at("server"), name, name));

  // A view can be linked: `#search=order&role=acme/field&server=sap&outcome=refused`, and what is chosen is written there.
  const KEYS = { search: "search", role: "who", server: "server", outcome: "outcome" };
  let missing = [];
  const ends = (name, wanted) => name === wanted || name.endsWith("/" + wanted);
  const valueOf = (key, wanted) => {
    if (key === "search" || wanted === "") return wanted;
    const options = [...at(KEYS[key]).options].filter((node) => node.value !== "");
    const found = key === "role"
      ? options.filter((node) => ends(node.textContent, wanted))
      : options.filter((node) => node.value === wanted);
    if (found.length === 1) return found[0].value;
    missing.push(key + "=" + wanted + (found.length ? " (which tenant's?)" : ""));
    return "";
  };
  const follow = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    missing = [];
    for (const [key, id] of Object.entries(KEYS)) at(id).value = valueOf(key, wanted.get(key) || "");
  };
  const write = () => {
    const chosen = new URLSearchParams();
    for (const [key, id] of Object.entries(KEYS)) {
      const value = key === "role" ? at(id).selectedOptions[0].textContent : at(id).value;
      if (at(id).value !== "") chosen.set(key, value);
    }
    history.replaceState(null, "", "#" + chosen);
  };

  const fits = (cell, outcome) => {
    if (!cell) return false;
    if (outcome === "") return true;
    if (outcome === "allows") return cell.outcome === "allowed" || cell.outcome === "constrained";
    return cell.outcome === outcome;
  };
  const cellOf = (row, who) => data.kinds[data.cells[row][who]];

  const tell = (what, who, cell) => {
    const box = at("detail");
    box.replaceChildren(make("h2", who.name + " · " + what.server + " · " + what.name));
    box.append(make("p", cell.outcome + (what.operation ? " (" + what.kind + ", " + what.operation + ")" : " (" + what.kind + ")")));
    if (cell.remark) box.append(make("p", cell.remark));
    if (cell.rules) box.append(make("p", "by " + cell.rules));
    const close = make("button", "Close");
    close.addEventListener("click", () => { box.hidden = true; });
    box.append(close);
    box.hidden = false;
  };

  const line = (row, columns, outcome) => {
    const what = data.what[row];
    const tr = make("tr");
    const th = make("th", (what.kind === "tool" ? "" : what.kind + " ") + what.name);
    th.scope = "row";
    th.append(make("small", what.server + (what.operation ? " · " + what.operation : "")));
    tr.append(th);
    for (const column of columns) {
      const td = make("td");
      const cell = cellOf(row, column);
      if (cell) {
        const button = make("button", words[cell.outcome] + (cell.remark && cell.outcome === "allowed" ? " *" : ""), cell.outcome);
        button.title = cell.remark || cell.outcome;
        if (!fits(cell, outcome)) button.classList.add("other");
        button.addEventListener("click", () => tell(what, data.who[column], cell));
        td.append(button);
      }
      tr.append(td);
    }
    return tr;
  };

  const show = () => {
    const search = at("search").value.trim().toLowerCase();
    const chosen = at("who").value;
    const server = at("server").value;
    const outcome = at("outcome").value;
    const everybody = data.who.map((_, index) => index);
    const columns = chosen === "" ? everybody : [Number(chosen)];
    const said = (row) => columns.some((column) => {
      const cell = cellOf(row, column);
      return cell && (cell.remark + " " + cell.rules).toLowerCase().includes(search);
    });
    const rows = data.what.map((_, index) => index).filter((row) => {
      const what = data.what[row];
      if (server !== "" && what.server !== server) return false;
      if (!columns.some((column) => fits(cellOf(row, column), outcome))) return false;
      const text = (what.name + " " + what.server + " " + what.kind + " " + what.operation).toLowerCase();
      return search === "" || text.includes(search) || said(row);
    });
    const head = make("tr");
    head.append(make("th", ""));
    columns.forEach((column) => head.append(make("th", data.who[column].name)));
    at("head").replaceChildren(head);
    at("body").replaceChildren(...rows.slice(0, limit).map((row) => line(row, columns, outcome)));
    at("more").hidden = rows.length <= limit;
    const lost = missing.length ? "; not here: " + missing.join(", ") : "";
    at("count").textContent = rows.length + " of " + data.what.length + lost;
  };

  for (const id of ["search", "who", "server", "outcome"]) {
    at(id).addEventListener("input", () => { missing = []; limit = STEP; write(); show(); });
  }
  at("more").addEventListener("click", () => { limit += STEP; show(); });
  addEventListener("hashchange", () => { follow(); limit = STEP; show(); });
  follow();
  show();
})();
