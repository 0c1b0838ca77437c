/* What the log of a deployment is made of, apart from the page: lines by number, earlier lines from the server, matches. */
(() => {
  /* Lines from `first` to `last` without a gap: those after `base` in one array, the earlier ones backwards in another. */
  class Lines {
    constructor(base) {
      this.base = base
      this.first = base + 1
      this.last = base
      this.later = []
      this.before = []
    }
    at(seq) { return seq > this.base ? this.later[seq - this.base - 1] : this.before[this.base - seq] }
    add(line) { this.later.push(line); this.last = line.seq }
    /* The line before `first`, or one that will soon join it: `first` moves when all between are there. */
    addBefore(line) { this.before[this.base - line.seq] = line }
    *[Symbol.iterator]() { for (let seq = this.first; seq <= this.last; seq++) yield this.at(seq) }
  }

  /* Slices of rows before a line, the last slice first. Throws an error that is `refused` when asking again is no use. */
  const slices = async function* (address, before) {
    const url = new URL(address, location.href)
    url.searchParams.set("before", before)
    const answer = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/x-ndjson" } })
    if (!answer.ok) throw Object.assign(new Error(answer.status), { refused: answer.status < 500 && answer.status !== 429 })
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    let parts = []
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const pieces = value.split("\n")
      for (const piece of pieces.slice(0, -1)) { parts.push(piece); yield JSON.parse(parts.join("")); parts = [] }
      parts.push(pieces.at(-1))
    }
  }
  const breathe = () => (globalThis.scheduler?.yield ? scheduler.yield() : new Promise(done => setTimeout(done)))

  /* Everything before `lines.first`, slice by slice to `take`, without holding up the browser; asks again when it breaks off. */
  const fillUp = async (address, lines, take, broken) => {
    for (let tries = 0; lines.first > 1; tries++) {
      try {
        for await (const rows of slices(address, lines.first)) { take(rows); tries = 0; await breathe() }
      } catch (error) {
        if (error.refused) return false
      }
      broken()
      if (lines.first > 1) await new Promise(done => setTimeout(done, Math.min(15000, 500 * 2 ** tries)))
    }
    return true
  }

  /* Where `words` (in small letters) stand in a text. */
  const places = (text, words) => {
    const found = [], small = text.toLowerCase()
    for (let p = small.indexOf(words); p >= 0; p = small.indexOf(words, p + words.length)) found.push(p)
    return found
  }
  /* A part of an element's text as a range, for the highlight API. */
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

  /* The search: over the lines, shown with the highlight API. page: counts(line), reveal(seq), drawn(act(line, element)). */
  const finder = (box, lines, page) => {
    let words = "", hits = [], at = 0, typing
    const field = box.querySelector("#find"), told = box.querySelector("[data-found]")
    const findIn = line => (page.counts(line) ? places(line.text, words).map(p => ({ i: line.seq, p })) : [])
    const tally = () => { told.textContent = words ? `${hits.length ? (at + 1).toLocaleString("en") : 0}/${hits.length.toLocaleString("en")}` : "" }
    const paint = () => {
      if (!globalThis.CSS?.highlights) return
      const all = [], now = [], current = hits[at]
      if (words) page.drawn((line, el) => {
        for (const p of places(line.text, words)) {
          const r = range(el.lastElementChild, p, words.length)
          if (r) (current?.i === line.seq && current.p === p ? now : all).push(r)
        }
      })
      CSS.highlights.set("find", new Highlight(...all))
      CSS.highlights.set("find-now", new Highlight(...now))
    }
    const go = to => {
      at = to
      if (hits.length) page.reveal(hits[at].i)
      paint()
      tally()
    }
    const search = text => {
      words = text.trim().toLowerCase()
      hits = []
      if (words) for (const line of lines) hits.push(...findIn(line))
      go(0)
    }
    const step = by => { if (hits.length) go((at + by + hits.length) % hits.length) }
    field.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => search(field.value), 80) })
    field.addEventListener("keydown", e => {
      if (e.key === "Enter") { e.preventDefault(); step(e.shiftKey ? -1 : 1) }
      if (e.key === "Escape") { field.value = ""; search("") }
    })
    return {
      get on() { return words !== "" },
      after(line) { if (words) hits.push(...findIn(line)) },
      before(slice) {
        if (!words) return
        const found = slice.flatMap(findIn), first = !hits.length
        hits = found.concat(hits)
        first ? go(0) : (at += found.length)
      },
      again() { if (words) search(words) },
      paint() { if (words) paint() },
      step,
      tally,
    }
  }
  Object.assign(globalThis.devflow, { logParts: { Lines, fillUp, finder } })
})()
