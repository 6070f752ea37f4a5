/* Nothing here is needed to read a page. It opens tiles large, remembers choices and switches light and dark. */
(() => {
  "use strict";
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const keep = {
    get(key) { try { return localStorage.getItem("cnnscope." + key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem("cnnscope." + key, value); } catch { /* private window */ } },
  };

  const theme = by("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    keep.set("theme", root.dataset.theme);
  });

  /* Choices: the page's address wins, then what was chosen last. */
  let asked = new URLSearchParams(location.search).get("probe");
  const noteProbe = () => {
    if (!asked) return;
    try {
      history.replaceState(history.state, "", "?probe=" + encodeURIComponent(asked) + location.hash);
    } catch { /* some browsers refuse this for files */ }
  };
  for (const group of document.querySelectorAll("[data-remember]")) {
    const key = group.dataset.remember;
    const inputs = [...group.querySelectorAll("input")];
    /* A link to a unit on an image asks for its map. */
    const wanted = (asked && { probe: asked, show: "maps" }[inputs[0].name]) || keep.get(key);
    const found = inputs.find((input) => input.value === wanted);
    if (found) found.checked = true;
    group.addEventListener("change", (event) => {
      keep.set(key, event.target.value);
      if (event.target.name === "probe") {
        asked = event.target.value;
        noteProbe();
      }
      rescale();
      if (viewer.open) draw();
    });
  }

  /* Numbers lie in scripts beside the layers' pages, so that they load from file:// too. */
  const numbers = new Map();
  const waiting = new Map();
  window.cnnscope = (data) => { numbers.set(data.layer, data); };
  const load = (place, then) => {
    const { layer, numbers: source } = place.dataset;
    if (numbers.has(layer)) return;
    if (!waiting.has(layer)) {
      const script = document.createElement("script");
      script.src = source;
      document.head.append(script);
      waiting.set(layer, script);
    }
    waiting.get(layer).addEventListener("load", then, { once: true });
  };

  const viewer = by("viewer");
  if (!viewer) return;
  const all = [...document.querySelectorAll("a.t[id]")];
  const tiles = () => all.filter((tile) => tile === current || tile.getClientRects().length);
  const picture = by("viewer-picture");
  let current = null;

  const text = (value) => {
    if (value === null || value === undefined) return "none";
    const size = Math.abs(value);
    if (value === 0) return "0";
    return (size < 1e-3 || size >= 1e6 ? value.toExponential(2) : String(+value.toPrecision(3))).replace("-", "−");
  };
  const element = (tag, content, attributes = {}) => {
    const made = document.createElement(tag);
    if (content) made.append(content);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const list = (facts) => {
    const made = element("dl");
    for (const [term, value] of facts) made.append(element("dt", term), element("dd", value));
    return made;
  };
  const copy = (from, to, own = {}) => {
    const style = getComputedStyle(from);
    for (const name of ["i", "c", "x", "y", "w", "h", "f", "mark", "b", "k"]) {
      const value = style.getPropertyValue("--" + (own[name] || name)).trim();
      if (value) to.style.setProperty("--" + name, value); else to.style.removeProperty("--" + name);
    }
  };
  /* A unit's visualisation lies in its tile beside the map. */
  const hasLook = (tile) => tile.style.getPropertyValue("--v");
  const looking = (tile) => hasLook(tile) && (by("show-0") || { checked: true }).checked;
  const copyLook = (from, to) => {
    copy(from, to, { i: "v", c: "vc", x: "vx", y: "vy", w: "vp", h: "vp", f: "none", mark: "none" });
    to.classList.add("vis");
  };
  const fit = (to, width, height) => {
    const scale = Math.min(width / to.style.getPropertyValue("--w"), height / to.style.getPropertyValue("--h"));
    to.style.setProperty("--z", scale >= 1 ? Math.floor(scale) : scale);
  };
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`);
  const mapsOn = (data, probe) => {
    const value = chosen("value")?.value || "activation";
    return data.maps.find((m) => m.probe === probe && m.value === value) || data.maps.find((m) => m.probe === probe);
  };
  const least = (maps, unit) => (maps.min ? maps.min[unit] : 0);
  const bound = (maps, unit) => Math.max(Math.abs(least(maps, unit)), Math.abs(maps.max[unit]));

  /* The shared scale dims each tile to its own bound's share of the layer's. Layers of one number a unit have no choice. */
  function rescale() {
    if (!by("shared")) return;
    const place = by("maps");
    const wanted = by("shared").checked;
    if (wanted && !numbers.has(place.dataset.layer)) {
      load(place, () => { rescale(); if (viewer.open) draw(); });
      return;
    }
    place.toggleAttribute("data-shared", wanted);
    if (!wanted) return;
    const maps = mapsOn(numbers.get(place.dataset.layer), chosen("probe").value);
    for (const tile of place.querySelectorAll("a.t")) {
      tile.style.setProperty("--k", maps.shared ? Math.min(1, bound(maps, +tile.id.slice(1)) / maps.shared).toFixed(4) : 1);
    }
  }
  rescale();

  const legend = (low, middle, high) => {
    by("viewer-legend").hidden = high === null;
    by("viewer-legend").querySelectorAll("span").forEach((span, i) => { span.textContent = [low, middle, high][i]; });
  };

  function draw() {
    const place = current.closest("[data-layer]");
    const { layer, model } = place.dataset;
    const filter = current.id[0] === "f";
    const unit = Number(current.id.match(/\d+$/)[0]);
    const probe = place.dataset.probe || chosen("probe")?.value;
    const shared = "shared" in place.dataset;
    const title = chosen("probe")?.parentNode.title || (place.dataset.probe ? document.querySelector("h1").textContent : "");
    const data = numbers.get(layer);
    const facts = by("viewer-facts");

    const name = current.textContent || current.title;
    by("viewer-title").textContent = (filter ? "Filter " : "Unit ") + unit + (name && " · " + name);
    const look = !filter && looking(current);
    by("viewer-where").textContent = [layer, model, filter || look ? "" : title].filter(Boolean).join(" · ");
    picture.classList.remove("vis");
    (look ? copyLook : copy)(current, picture);
    picture.toggleAttribute("data-shared", shared && !look);
    const mark = picture.style.getPropertyValue("--mark");
    picture.style.backgroundImage = mark;
    picture.style.filter = mark ? "none" : "";
    const wide = innerWidth > 960;
    fit(picture, Math.min(wide ? 590 : innerWidth - 40, innerWidth - 40), Math.min(wide ? 500 : innerHeight * 0.5, innerHeight - 170));
    by("viewer-legend").style.setProperty("--f", picture.style.getPropertyValue("--f") || "none");
    facts.replaceChildren();
    legend("", "", null);
    const more = by("viewer-more");
    const unitTile = filter ? by("u" + unit) : current;
    more.hidden = !unitTile || unitTile.getAttribute("href")[0] === "#";
    if (unitTile) more.href = unitTile.href;
    more.textContent = place.dataset.probe ? "On its layer’s page" : "Its own page";
    const near = tiles().indexOf(current);
    by("viewer-previous").disabled = near === 0;
    by("viewer-next").disabled = near === tiles().length - 1;
    if (!data) { load(place, () => { if (viewer.open) draw(); }); return; }

    const small = (source, heading, copier) => {
      const made = source === current ? element("i", "", { class: "t", role: "img", "aria-label": heading })
        : element("a", "", { class: "t", href: "#" + source.id, "aria-label": heading });
      copier(source, made);
      fit(made, 96, 96);
      facts.append(element("h3", heading), made);
    };
    const found = data.vis?.[unit];
    if (look) {
      facts.append(list(found ? [["Reached", text(found[0])], ["At the start", text(found[1])]] : [["State", "no image excites it"]]));
    } else if (!filter) {
      const maps = mapsOn(data, probe);
      if (maps) {
        const high = shared ? maps.shared : bound(maps, unit);
        legend(maps.signed ? "−" + text(high) : "0", maps.signed ? "0" : "", text(high));
        const state = { z: "zero everywhere", c: "the same everywhere", n: "not a number", i: "infinite" }[maps.state[unit]];
        facts.append(list([
          ...(state ? [["State", state]] : []),
          ["Maximum", text(maps.max[unit])], ["Mean", text(maps.mean[unit])],
          ...(maps.signed ? [["Minimum", text(least(maps, unit))]] : []),
          ["Zeros", (maps.zero ? maps.zero[unit] : 0) + " %"], ["Brightness", shared ? "shared by the layer" : "this tile’s own"],
        ]));
      }
    }
    if (unitTile && hasLook(unitTile) && !look && found) small(unitTile, "What it looks for", copyLook);
    if (look && by("show-1")) small(current, "Its map on " + title, copy);
    const kernels = data.filters;
    if (!kernels || place.dataset.probe) return;
    const other = by((filter ? "u" : "f") + unit);
    if (other && !(filter && !by("show-1") && hasLook(other))) small(other, filter ? "Its map on " + title : "Its filter", copy);
    facts.append(list([["Norm of the filter", text(kernels.norms[unit])], ["Bias", text(kernels.bias[unit])]]));
    const inputs = kernels.strongest[unit] || [];
    if (inputs.length) {
      const items = element("ul", "", { class: "inputs" });
      inputs.forEach(([source, channel, weight], k) => {
        const item = element("li");
        const slot = unit * kernels.per_filter + k;
        const sheet = kernels.sheets.find((s) => slot >= s.first && slot < s.first + s.count);
        if (sheet) {
          const slice = element("i", "", { class: "t" });
          const at = slot - sheet.first;
          const set = { i: `url(${root.dataset.root}${sheet.file})`, c: sheet.columns, x: at % sheet.columns,
            y: Math.floor(at / sheet.columns), w: sheet.tile_px[1], h: sheet.tile_px[0] };
          for (const [name, v] of Object.entries(set)) slice.style.setProperty("--" + name, v);
          fit(slice, 36, 36);
          item.append(slice);
        }
        const { text: name, href } = kernels.sources[source];
        const label = name + " · " + channel;
        item.append(href ? element("a", label, { href: root.dataset.root + href + "#u" + channel }) : element("span", label), text(weight));
        items.append(item);
      });
      facts.append(element("h3", "Strongest inputs"), items);
    }
  }

  const goTo = (hash, push) => {
    const address = location.pathname + location.search + hash;
    try { history[push ? "pushState" : "replaceState"](push ? { opened: true } : history.state, "", address); } catch { location.hash = hash; }
  };
  const show = (tile, push) => {
    current = tile;
    goTo("#" + tile.id, push);
    if (!viewer.open) viewer.showModal();
    draw();
  };
  const step = (by) => {
    const next = tiles()[tiles().indexOf(current) + by];
    if (next) show(next, false);
  };
  const sync = () => {
    const tile = by(decodeURIComponent(location.hash.slice(1)));
    if (tile && tile.matches("a.t")) {
      current = tile;
      if (!viewer.open) viewer.showModal();
      draw();
    } else if (viewer.open) viewer.close();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.t");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    if (looking(link) && !link.hash) return; // to its own page
    const tile = link.id ? link : by(link.hash.slice(1));
    event.preventDefault();
    show(tile, !viewer.open);
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => {
    if (viewer.open) return; // the event comes late: the next address has opened it again
    if (location.hash.slice(1) === current.id) {
      if (history.state?.opened) history.back(); else goTo("", false);
    }
    current.focus();
  });
  by("viewer-close").addEventListener("click", () => viewer.close());
  by("viewer-previous").addEventListener("click", () => step(-1));
  by("viewer-next").addEventListener("click", () => step(1));
  const probes = [...document.querySelectorAll('input[name="probe"]')];
  by("viewer-hint").textContent = probes.length > 1 ? "← → other units · ↑ ↓ other images" : "← → other units";
  document.addEventListener("keydown", (event) => {
    if (!viewer.open) return;
    const along = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (along) { event.preventDefault(); step(along); }
    if (down && probes.length > 1) {
      event.preventDefault();
      const next = probes[(probes.indexOf(chosen("probe")) + down + probes.length) % probes.length];
      next.checked = true;
      next.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });
  addEventListener("hashchange", sync);
  addEventListener("popstate", () => { noteProbe(); sync(); });
  if (location.hash) sync();
})();
