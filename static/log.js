/* The log of a deployment. Lines live in an array; the page holds only the blocks of lines that are near the window,
   so a log of any length opens at once. Groups are the steps; a block is BLOCK neighbouring lines of one group.
   A long log begins near its end: the socket brings what follows `data-since`, and what came before is fetched behind
   that, newest first, and put in front slice by slice. */
(() => {
  const box = document.getElementById("log")
  if (!box) return
  const { ansi, copy, lasting, logParts, spell, tell, toast } = globalThis.devflow
  const { Lines, fillUp, finder } = logParts
  const BLOCK = 200, SHORT = 12, LINE = 20.4
  const LEVELS = { command: "cmd", debug: "dim", success: "ok", warning: "warn", error: "error" }
  const $ = selector => box.querySelector(selector)
  const view = $(".view"), icons = document.documentElement.dataset.icons
  const groups = new Map(), byBlock = new WeakMap()
  const count = { warn: 0, error: 0 }
  const lines = new Lines(Number(box.dataset.since) || 0)
  const line = seq => lines.at(seq)
  let active = box.dataset.active !== undefined, outcome = box.dataset.status
  let follow = active, onlyTrouble = false, firstError = 0
  let wanted = Number(/^#L(\d+)$/.exec(location.hash)?.[1]) || 0, marked = wanted

  /* ---------- groups and blocks ---------- */
  const use = (name, kind) => `<svg class="${kind}" aria-hidden="true"><use href="${icons}#${name}"/></svg>`
  const makeGroup = step => {
    const el = document.createElement("details")
    el.innerHTML = `<summary>${use("chevron-right", "ic chev")}<span class="contents" data-s="building">${use("st-run", "glyph")}</span><span class="truncate"></span><span class="meta"><span></span><span></span></span></summary><div class="lines"></div>`
    const [, state, title, meta] = el.firstElementChild.children
    title.textContent = step ? step[0].toUpperCase() + step.slice(1) : "Log"
    const group = { el, state, meta, body: el.lastElementChild, total: 0, blocks: [], from: 0, to: 0, errors: 0, touched: false }
    el.open = true
    el.addEventListener("click", e => { if (e.target.closest("summary")) group.touched = true })
    groups.set(step, group)
    view.insertBefore(el, $(".tailing"))
    return group
  }
  const dressAll = () => {
    const order = [...groups.values()]
    order.forEach((group, k) => dress(group, k === order.length - 1))
    return order
  }
  const dress = (group, isLast) => {
    const state = isLast && active ? "building" : isLast && outcome === "failed" ? "failed" : isLast && outcome === "cancelled" ? "cancelled" : "success"
    if (group.state.dataset.s !== state || group.older) {
      // A finished step folds itself away, unless it is short, went wrong or somebody opened it.
      if (!group.touched && state === "success" && (follow || !active)) group.el.open = group.total <= SHORT || group.errors > 0
      if (!group.touched && state === "failed") group.el.open = true
      group.older = false
    }
    if (group.state.dataset.s !== state) {
      group.state.dataset.s = state
      group.state.innerHTML = use(state === "building" ? "st-run" : `st-${state}`, "glyph")
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
    for (const i of block.ids) rows += Math.max(1, Math.ceil(line(i).text.length / columns))
    return rows * LINE
  }
  const makeBlock = (group, ids = []) => {
    const block = { group, el: document.createElement("div"), ids, drawn: 0, live: false }
    byBlock.set(block.el, block)
    return block
  }
  const show = (group, i) => {
    let block = group.blocks.at(-1)
    if (!block || block.ids.length >= BLOCK) {
      group.blocks.push(block = makeBlock(group))
      group.body.append(block.el)
      watcher.observe(block.el)
    }
    block.ids.push(i)
    return block
  }
  const showBefore = (group, ids) => {
    const made = []
    for (let end = ids.length; end > 0; end -= BLOCK) made.unshift(makeBlock(group, ids.slice(Math.max(0, end - BLOCK), end)))
    for (const block of made) block.el.style.height = `${guess(block)}px`
    group.blocks = made.concat(group.blocks)
    group.body.prepend(...made.map(block => block.el))
    for (const block of made) watcher.observe(block.el)
  }
  /* Where a line is shown, if it is. */
  const placeOf = seq => {
    const { blocks } = line(seq).group
    let low = 0, high = blocks.length
    while (low < high) { const mid = (low + high) >> 1; blocks[mid].ids.at(-1) < seq ? (low = mid + 1) : (high = mid) }
    const at = blocks[low]?.ids.indexOf(seq) ?? -1
    return at < 0 ? undefined : [blocks[low], at]
  }
  const makeLine = i => {
    const { level, at: time, raw } = line(i), el = document.createElement("div")
    el.className = "ln"
    if (level) el.dataset.l = level
    if (i === marked) el.dataset.target = ""
    const number = document.createElement("a"), clock = document.createElement("time"), text = document.createElement("span")
    number.href = `#L${i}`
    number.tabIndex = -1
    number.textContent = i
    const at = new Date(time)
    clock.textContent = at.toTimeString().slice(0, 8)
    clock.title = at.toISOString()
    ansi.fill(text, raw)
    el.append(number, clock, text)
    return el
  }
  const draw = block => {
    if (!block.live) { block.live = true; block.el.style.height = "" }
    if (block.drawn === block.ids.length) return
    const part = document.createDocumentFragment()
    for (let k = block.drawn; k < block.ids.length; k++) part.append(makeLine(block.ids[k]))
    block.drawn = block.ids.length
    block.el.append(part)
    find.paint()
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
  const isTrouble = level => level === "warn" || level === "error"
  const made = ([seq, at, level, , , raw], group) => {
    const name = LEVELS[level] ?? ""
    group.total++
    if (isTrouble(name)) count[name]++
    if (name === "error") group.errors++
    return { seq, at, level: name, raw, text: ansi.plain(raw), group }
  }
  // What belongs to no step of its own stands with the step it came after.
  let home = ""
  const add = row => {
    home = row[4] || home
    const group = groups.get(home) ?? makeGroup(home)
    const one = made(row, group)
    lines.add(one)
    group.from ||= one.at
    group.to = one.at
    if (one.level === "error") firstError ||= one.seq
    if (!onlyTrouble || isTrouble(one.level)) grown.add(show(group, one.seq))
    find.after(one)
  }
  /* Earlier lines, directly before `first`. Those whose step is not known yet wait for the slice before them. */
  let orphans = []
  const addBefore = rows => {
    rows = rows.concat(orphans)
    const known = rows[0][0] > 1 ? Math.max(0, rows.findIndex(row => row[4])) : 0
    orphans = rows.slice(0, known)
    const parts = new Map()
    let step = ""
    for (let k = known; k < rows.length; k++) {
      step = rows[k][4] || step
      const part = parts.get(step)
      part ? part.push(rows[k]) : parts.set(step, [rows[k]])
    }
    const all = new Map()
    for (const [step, part] of parts) {
      const group = groups.get(step) ?? makeGroup(step)
      all.set(step, group)
      for (const row of part) lines.addBefore(made(row, group))
      group.from = part[0][1]
      group.to ||= part.at(-1)[1]
      group.older = true
    }
    lines.first = rows[known][0]
    for (const [step, part] of parts) {
      const ids = []
      for (const row of part) if (!onlyTrouble || isTrouble(line(row[0]).level)) ids.push(row[0])
      showBefore(all.get(step), ids)
      all.get(step).el.hidden = onlyTrouble && !all.get(step).blocks.length
    }
    inOrder(all)
    dressAll()
    const slice = rows.slice(known).map(row => line(row[0]))
    firstError = slice.find(one => one.level === "error")?.seq ?? firstError
    find.before(slice)
  }
  /* The steps of an earlier slice come before all that it does not know. */
  const inOrder = earlier => {
    const stood = [...groups.keys()]
    const rest = [...groups].filter(([step]) => !earlier.has(step))
    groups.clear()
    for (const [step, group] of [...earlier, ...rest]) groups.set(step, group)
    if (stood.join("\0") !== [...groups.keys()].join("\0")) view.prepend(...[...groups.values()].map(group => group.el))
  }
  let frame = 0
  const soon = () => { frame ||= requestAnimationFrame(settle) }
  const settle = () => {
    frame = 0
    const order = dressAll()
    // Only the end is drawn now; the watcher draws what else is near the window.
    const tail = order.at(-1)?.blocks.at(-1)
    for (const block of grown) {
      if (block.live || (block === tail && follow)) draw(block)
      else block.el.style.height = `${guess(block)}px`
    }
    grown.clear()
    const { first, last } = lines
    $("[data-lines]").textContent = `${first > 1 ? `${(last - first + 1).toLocaleString("en")} of ` : ""}${last.toLocaleString("en")} line${last === 1 ? "" : "s"}`
    const trouble = [[count.error, "error"], [count.warn, "warning"]].filter(([n]) => n).map(([n, w]) => `${n.toLocaleString("en")} ${w}${n === 1 ? "" : "s"}`)
    $("[data-trouble]").textContent = trouble.join(", ")
    $("[data-log=error]").hidden = !firstError
    $(".tailing").hidden = !active
    if (wanted && wanted >= first && wanted <= last) goToLine(wanted)
    else if (follow) end()
    find.tally()
  }
  let gap = 0
  const take = batch => {
    const from = batch[0]?.[0]
    if (from === undefined) return
    if (from > lines.last + 1 && gap !== from) { gap = from; link.again(); return }
    for (const row of batch) if (row[0] > lines.last) add(row)
    soon()
    fill()
  }

  /* ---------- earlier lines ---------- */
  /* What stands in the window stays where it is while the page grows above it. */
  const holding = act => {
    const edge = view.getBoundingClientRect().top
    const seen = el => { const r = el.getBoundingClientRect(); return r.height && r.bottom > edge }
    const anchor = !follow && view.scrollTop > 0 && [...view.querySelectorAll(".lines > div")].find(seen)
    const top = anchor && anchor.getBoundingClientRect().top
    act()
    if (anchor) view.scrollTop += anchor.getBoundingClientRect().top - top
  }
  let filling
  const fill = () => (filling ??= fillUp(box.dataset.earlier, lines, rows => { holding(() => addBefore(rows)); soon() }, () => { orphans = [] }).then(whole => {
    if (whole) showFailure()
    else toast("The earlier lines of this log could not be loaded. Reload the page to try again.", "error")
  }))

  /* ---------- moving ---------- */
  let meant = 0
  const end = () => { view.scrollTop = view.scrollHeight }
  const reveal = seq => {
    if (!placeOf(seq)) trouble(false)
    const [block, at] = placeOf(seq)
    setFollow(false)
    block.group.el.open = block.group.touched = true
    draw(block)
    const el = block.el.children[at]
    const centre = () => { const a = el.getBoundingClientRect(), b = view.getBoundingClientRect(); view.scrollTop += a.top - b.top - b.height / 2 + a.height / 2 }
    centre()
    requestAnimationFrame(() => { if (el.isConnected) centre() })
    return el
  }
  const goToLine = seq => {
    wanted = seq < lines.first ? seq : 0
    marked = seq
    box.querySelectorAll("[data-target]").forEach(n => n.removeAttribute("data-target"))
    if (seq >= lines.first && seq <= lines.last) reveal(seq).dataset.target = ""
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
      g.blocks = []
      g.el.hidden = on
    }
    for (const { seq, level, group } of lines) {
      if (!on || isTrouble(level)) { group.el.hidden = false; show(group, seq) }
    }
    if (on) for (const g of groups.values()) if (g.blocks.length) g.el.open = true
    measure()
    view.scrollTop = 0
    find.again()
  }

  /* ---------- search ---------- */
  const find = finder(box, lines, {
    counts: ({ level }) => !onlyTrouble || isTrouble(level),
    reveal: seq => reveal(seq),
    drawn: act => eachBlock(b => { if (b.live) b.ids.slice(0, b.drawn).forEach((i, k) => act(line(i), b.el.children[k])) }),
  })

  /* ---------- buttons ---------- */
  const copyAll = async () => {
    await filling
    let all = ""
    for (const { at, text } of lines) all += `${new Date(at).toISOString().slice(11, 19)} ${text}\n`
    await copy(all.slice(0, -1), "Log copied")
  }
  const acts = {
    pause: () => setFollow(!follow),
    end: () => { const g = [...groups.values()].at(-1); if (!g) return; if (active) setFollow(true); else { const block = g.blocks.at(-1); if (block) reveal(block.ids.at(-1)); end() } },
    level: b => trouble(b.getAttribute("aria-pressed") !== "true"),
    error: () => { const el = reveal(firstError); view.focus({ preventScroll: true }); el.animate?.([{ outline: "2px solid var(--err-fill)" }, { outline: "2px solid transparent" }], 1200) },
    wrap: b => { b.setAttribute("aria-pressed", !box.toggleAttribute("data-nowrap")); measure(); if (follow) end() },
    copy: copyAll,
    next: () => find.step(1),
    previous: () => find.step(-1),
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
    over = !watched
    showFailure()
    if (watched) changed()
    link.stop()
  }
  /* Who opens a failed deployment sees its first error, and once more if an earlier one came to light meanwhile. */
  let over = false, failure = 0
  const showFailure = () => {
    if (!over || outcome !== "failed" || !firstError || failure === firstError || marked || meant || find.on) return
    failure = firstError
    reveal(firstError)
  }
  let lost = false, poll, seen = box.dataset.seen
  const link = lasting(() => { const url = new URL(box.dataset.url, location.href); url.searchParams.set("since", lines.last); return url.href }, {
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
      if (state === "waiting") { lost = true; say("waiting", `Reconnecting in ${seconds} s`); fill(); if (active) poll = setInterval(changed, 5000) }
    },
    closed: event => { if (!active && event.code === 1000) { finish(); return true } return false },
  })
  setFollow(follow)
})()
