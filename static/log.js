/* The log of a deployment. Lines live in an array; the page holds only the blocks of lines that are near the window,
   so a log of any length opens at once. Groups are the steps; a block is BLOCK neighbouring lines of one group. */
(() => {
  const box = document.getElementById("log")
  if (!box) return
  const { ansi, copy, lasting, spell, tell, toast } = globalThis.devflow
  const BLOCK = 200, SHORT = 12, LINE = 20.4
  const LEVELS = { command: "cmd", debug: "dim", success: "ok", warning: "warn", error: "error" }
  const $ = selector => box.querySelector(selector)
  const view = $(".view"), icons = document.documentElement.dataset.icons
  const lines = [], groups = new Map(), byBlock = new WeakMap()
  const count = { warn: 0, error: 0 }
  let last = Number(box.dataset.since) || 0
  let active = box.dataset.active !== undefined, outcome = box.dataset.status
  let follow = active, onlyTrouble = false, firstError = -1
  let wanted = Number(/^#L(\d+)$/.exec(location.hash)?.[1]) || 0, marked = wanted

  /* ---------- groups and blocks ---------- */
  const use = (name, kind) => `<svg class="${kind}" aria-hidden="true"><use href="${icons}#${name}"/></svg>`
  const makeGroup = step => {
    const el = document.createElement("details")
    el.innerHTML = `<summary>${use("chevron-right", "ic chev")}<span class="contents" data-s="building">${use("st-run", "glyph")}</span><span class="truncate"></span><span class="meta"><span></span><span></span></span></summary><div class="lines"></div>`
    const [, state, title, meta] = el.firstElementChild.children
    title.textContent = step ? step[0].toUpperCase() + step.slice(1) : "Log"
    const group = { el, state, meta, body: el.lastElementChild, total: 0, shown: [], blocks: [], from: 0, to: 0, errors: 0, touched: false }
    el.open = true
    el.addEventListener("click", e => { if (e.target.closest("summary")) group.touched = true })
    const running = [...groups.values()].at(-1)
    groups.set(step, group)
    view.insertBefore(el, $(".tailing"))
    if (running) dress(running, false)
    return group
  }
  const dress = (group, isLast) => {
    const state = isLast && active ? "building" : isLast && outcome === "failed" ? "failed" : isLast && outcome === "cancelled" ? "cancelled" : "success"
    if (group.state.dataset.s !== state) {
      group.state.dataset.s = state
      group.state.innerHTML = use(state === "building" ? "st-run" : `st-${state}`, "glyph")
      // A finished step folds itself away, unless it is short, went wrong or somebody opened it.
      if (!group.touched && state === "success" && (follow || !active)) group.el.open = group.total <= SHORT || group.errors > 0
      if (!group.touched && state === "failed") group.el.open = true
    }
    group.meta.children[0].textContent = `${group.total.toLocaleString("en")} line${group.total === 1 ? "" : "s"}`
    const seconds = (group.to - group.from) / 1000
    group.meta.children[1].hidden = seconds < 0.1
    group.meta.children[1].textContent = seconds < 0.1 ? "" : seconds < 10 ? `${seconds.toFixed(1)} s` : spell(seconds)
  }
  // Kept, not asked for each block: reading a width in between makes the browser lay everything out again.
  let width = view.clientWidth
  const guess = block => {
    if (box.dataset.nowrap !== undefined) return block.ids.length * LINE
    const columns = Math.max(20, Math.floor((width - (width < 700 ? 56 : 150)) / 7.2))
    let rows = 0
    for (const i of block.ids) rows += Math.max(1, Math.ceil(lines[i].text.length / columns))
    return rows * LINE
  }
  const makeBlock = group => {
    const el = document.createElement("div")
    const block = { group, el, ids: [], drawn: 0, live: false }
    byBlock.set(el, block)
    group.blocks.push(block)
    group.body.append(el)
    watcher.observe(el)
    return block
  }
  const show = (group, i) => {
    group.shown.push(i)
    let block = group.blocks.at(-1)
    if (!block || block.ids.length === BLOCK) block = makeBlock(group)
    block.ids.push(i)
    return block
  }
  const makeLine = i => {
    const line = lines[i], el = document.createElement("div")
    el.className = "ln"
    if (line.level) el.dataset.l = line.level
    if (line.seq === marked) el.dataset.target = ""
    const number = document.createElement("a"), time = document.createElement("time"), text = document.createElement("span")
    number.href = `#L${line.seq}`
    number.tabIndex = -1
    number.textContent = line.seq
    const at = new Date(line.at)
    time.textContent = at.toTimeString().slice(0, 8)
    time.title = at.toISOString()
    ansi.fill(text, line.raw)
    el.append(number, time, text)
    return el
  }
  const draw = block => {
    if (!block.live) { block.live = true; block.el.style.height = "" }
    if (block.drawn === block.ids.length) return
    const part = document.createDocumentFragment()
    for (let k = block.drawn; k < block.ids.length; k++) part.append(makeLine(block.ids[k]))
    block.drawn = block.ids.length
    block.el.append(part)
    if (words) paintHits()
  }
  const rest = block => {
    if (!block.live) return
    const height = block.el.offsetHeight
    block.live = false
    block.drawn = 0
    block.el.replaceChildren()
    block.el.style.height = `${height || guess(block)}px`
  }
  const watcher = new IntersectionObserver(entries => {
    for (const e of entries) { const block = byBlock.get(e.target); if (block) e.isIntersecting ? draw(block) : rest(block) }
  }, { root: view, rootMargin: "800px 0px" })
  const eachBlock = act => { for (const g of groups.values()) for (const b of g.blocks) act(b) }
  const measure = () => eachBlock(b => { if (!b.live) b.el.style.height = `${guess(b)}px` })

  /* ---------- lines come in ---------- */
  const grown = new Set()
  const add = ([seq, at, level, , step, raw]) => {
    const name = LEVELS[level] ?? ""
    const line = { seq, at, level: name, raw, text: ansi.plain(raw), group: undefined }
    const i = lines.push(line) - 1
    // What belongs to no step of its own stands with the step it came after.
    const home = step || [...groups.keys()].at(-1) || ""
    const group = (line.group = groups.get(home) ?? makeGroup(home))
    group.total++
    group.from ||= at
    group.to = at
    if (name === "warn" || name === "error") count[name]++
    if (name === "error") { group.errors++; if (firstError < 0) firstError = i }
    if (!onlyTrouble || name === "warn" || name === "error") grown.add(show(group, i))
    if (words) findIn(i)
  }
  let frame = 0
  const soon = () => { frame ||= requestAnimationFrame(settle) }
  const settle = () => {
    frame = 0
    const order = [...groups.values()]
    order.forEach((g, k) => dress(g, k === order.length - 1))
    // Only the end is drawn now; the watcher draws what else is near the window.
    const tail = order.at(-1)?.blocks.at(-1)
    for (const block of grown) {
      if (block.live || (block === tail && follow)) draw(block)
      else block.el.style.height = `${guess(block)}px`
    }
    grown.clear()
    $("[data-lines]").textContent = `${lines.length.toLocaleString("en")} line${lines.length === 1 ? "" : "s"}`
    const trouble = [[count.error, "error"], [count.warn, "warning"]].filter(([n]) => n).map(([n, w]) => `${n.toLocaleString("en")} ${w}${n === 1 ? "" : "s"}`)
    $("[data-trouble]").textContent = trouble.join(", ")
    $("[data-log=error]").hidden = firstError < 0
    $(".tailing").hidden = !active
    if (wanted && wanted <= last) goToLine(wanted)
    else if (follow) end()
    tally()
  }
  let gap = 0
  const take = batch => {
    const first = batch[0]?.[0]
    if (first === undefined) return
    if (first > last + 1 && gap !== first) { gap = first; link.again(); return }
    for (const line of batch) if (line[0] > last) { add(line); last = line[0] }
    soon()
  }

  /* ---------- moving ---------- */
  let meant = 0
  const end = () => { view.scrollTop = view.scrollHeight }
  const reveal = i => {
    const line = lines[i], group = line.group
    let at = group.shown.indexOf(i)
    if (at < 0) { trouble(false); at = group.shown.indexOf(i) }
    setFollow(false)
    group.el.open = true
    const block = group.blocks[Math.floor(at / BLOCK)]
    draw(block)
    const el = block.el.children[at % BLOCK]
    const centre = () => { const a = el.getBoundingClientRect(), b = view.getBoundingClientRect(); view.scrollTop += a.top - b.top - b.height / 2 + a.height / 2 }
    centre()
    requestAnimationFrame(() => { if (el.isConnected) centre() })
    return el
  }
  const goToLine = seq => {
    wanted = 0
    marked = seq
    box.querySelectorAll("[data-target]").forEach(n => n.removeAttribute("data-target"))
    let low = 0, high = lines.length
    while (low < high) { const mid = (low + high) >> 1; lines[mid].seq < seq ? (low = mid + 1) : (high = mid) }
    if (lines[low]?.seq === seq) reveal(low).dataset.target = ""
  }
  const setFollow = on => {
    follow = on
    const button = $("[data-log=pause]")
    const label = on ? "Pause following" : "Follow again"
    button.setAttribute("aria-pressed", !on)
    button.setAttribute("aria-label", label)
    button.title = label
    button.querySelector("use").setAttribute("href", `${icons}#${on ? "pause" : "play"}`)
    button.hidden = !active
    $("[data-follow]").textContent = !active ? "" : on ? "Following the newest line" : "Paused, new lines wait below"
    if (on) { const g = [...groups.values()].at(-1); if (g) { g.el.open = true; if (g.blocks.length) draw(g.blocks.at(-1)) } end() }
  }
  for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) view.addEventListener(kind, () => { meant = Date.now() }, { passive: true })
  view.addEventListener("scroll", () => {
    if (!active || Date.now() - meant > 1000) return
    const atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 24
    if (follow !== atEnd) setFollow(atEnd)
  }, { passive: true })

  /* ---------- only warnings and errors ---------- */
  const trouble = on => {
    onlyTrouble = on
    $("[data-log=level]").setAttribute("aria-pressed", on)
    for (const g of groups.values()) {
      g.blocks.forEach(b => watcher.unobserve(b.el))
      g.body.replaceChildren()
      g.shown = []
      g.blocks = []
      g.el.hidden = on
    }
    lines.forEach((line, i) => { if (!on || line.level === "warn" || line.level === "error") { line.group.el.hidden = false; show(line.group, i) } })
    if (on) for (const g of groups.values()) if (g.shown.length) g.el.open = true
    measure()
    view.scrollTop = 0
    if (words) search(words)
  }

  /* ---------- search: over the array, shown with the highlight API ---------- */
  let words = "", hits = [], at = 0
  const findIn = i => {
    if (onlyTrouble && !/warn|error/.test(lines[i].level)) return
    const text = lines[i].text.toLowerCase()
    for (let p = text.indexOf(words); p >= 0; p = text.indexOf(words, p + words.length)) hits.push({ i, p })
  }
  const tally = () => { $("[data-found]").textContent = words ? `${hits.length ? (at + 1).toLocaleString("en") : 0}/${hits.length.toLocaleString("en")}` : "" }
  const search = text => {
    words = text.trim().toLowerCase()
    hits = []
    at = 0
    if (words) for (let i = 0; i < lines.length; i++) findIn(i)
    if (hits.length) reveal(hits[0].i)
    paintHits()
    tally()
  }
  const step = by => {
    if (!hits.length) return
    at = (at + by + hits.length) % hits.length
    reveal(hits[at].i)
    paintHits()
    tally()
  }
  const range = (el, from, length) => {
    const found = new Range(), walk = document.createTreeWalker(el, NodeFilter.SHOW_TEXT)
    let passed = 0, started = false
    while (walk.nextNode()) {
      const node = walk.currentNode, here = passed + node.length
      if (!started && from < here) { found.setStart(node, from - passed); started = true }
      if (started && from + length <= here) { found.setEnd(node, from + length - passed); return found }
      passed = here
    }
  }
  const paintHits = () => {
    if (!globalThis.CSS?.highlights) return
    const all = [], now = []
    const current = hits[at]
    if (words) eachBlock(b => {
      if (b.live) b.ids.slice(0, b.drawn).forEach((i, k) => {
        const text = lines[i].text.toLowerCase()
        for (let p = text.indexOf(words); p >= 0; p = text.indexOf(words, p + words.length)) {
          const r = range(b.el.children[k].lastElementChild, p, words.length)
          if (r) (current?.i === i && current.p === p ? now : all).push(r)
        }
      })
    })
    CSS.highlights.set("find", new Highlight(...all))
    CSS.highlights.set("find-now", new Highlight(...now))
  }
  let typing
  $("#find").addEventListener("input", e => { clearTimeout(typing); typing = setTimeout(() => search(e.target.value), 80) })
  $("#find").addEventListener("keydown", e => {
    if (e.key === "Enter") { e.preventDefault(); step(e.shiftKey ? -1 : 1) }
    if (e.key === "Escape") { e.target.value = ""; search("") }
  })

  /* ---------- buttons ---------- */
  const text = () => lines.map(l => `${new Date(l.at).toISOString().slice(11, 19)} ${l.text}`).join("\n")
  const acts = {
    pause: () => setFollow(!follow),
    end: () => { const g = [...groups.values()].at(-1); if (!g) return; if (active) setFollow(true); else { reveal(g.shown.at(-1)); end() } },
    level: b => trouble(b.getAttribute("aria-pressed") !== "true"),
    error: () => { const el = reveal(firstError); view.focus({ preventScroll: true }); el.animate?.([{ outline: "2px solid var(--err-fill)" }, { outline: "2px solid transparent" }], 1200) },
    wrap: b => { b.setAttribute("aria-pressed", !box.toggleAttribute("data-nowrap")); measure(); if (follow) end() },
    copy: () => copy(text(), "Log copied"),
    next: () => step(1),
    previous: () => step(-1),
  }
  box.addEventListener("click", e => {
    const button = e.target.closest("[data-log]")
    if (button) return acts[button.dataset.log](button)
    const number = e.target.closest(".ln > a")
    if (!number) return
    e.preventDefault()
    const href = number.getAttribute("href")
    history.replaceState(history.state, "", href)
    goToLine(Number(href.slice(2)))
    copy(location.href, "Link to the line copied")
  })
  addEventListener("hashchange", () => { const seq = Number(/^#L(\d+)$/.exec(location.hash)?.[1]); if (seq) goToLine(seq) })
  new ResizeObserver(() => { if (view.clientWidth !== width) { width = view.clientWidth; measure(); if (follow) end() } }).observe(view)

  /* ---------- the socket ---------- */
  const changed = tell("deployment-changed", 150)
  const chip = $("[data-link]")
  const say = (state, words) => {
    chip.hidden = false
    chip.dataset.tone = { live: "ok", waiting: "warn" }[state] ?? ""
    chip.dataset.state = state
    chip.lastElementChild.textContent = words
  }
  const finish = status => {
    outcome = status || outcome
    const watched = active
    active = false
    say("done", "Complete")
    setFollow(false)
    settle()
    if (outcome === "failed" && firstError >= 0 && !wanted && !marked && !watched) reveal(firstError)
    if (watched) changed()
    link.stop()
  }
  let lost = false, poll, seen = box.dataset.seen
  const link = lasting(() => { const url = new URL(box.dataset.url, location.href); url.searchParams.set("since", last); return url.href }, {
    message(data) {
      if (data.type === "lines") take(data.lines)
      else if (data.type === "status_update") {
        const now = `${data.progress}/${data.current_step}`
        if (now !== seen || data.status !== outcome) changed()
        seen = now
        outcome = data.status
      }
      else if (data.type === "deployment_complete") finish(data.status)
      else if (data.type === "error" && data.message) toast(data.message, "error")
    },
    state(state, seconds) {
      clearInterval(poll)
      if (state === "live") { say("live", active ? "Live" : "Loading"); if (lost) changed(); lost = false }
      if (state === "connecting") say(lost ? "waiting" : "connecting", lost ? "Reconnecting" : "Connecting")
      if (state === "waiting") { lost = true; say("waiting", `Reconnecting in ${seconds} s`); if (active) poll = setInterval(changed, 5000) }
    },
    closed: event => { if (!active && event.code === 1000) { finish(); return true } return false },
  })
  setFollow(follow)
})()
