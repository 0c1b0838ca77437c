/* Sockets that come back by themselves, and the lists that lean on one. */
(() => {
  /* Opens `path()` again and again with growing pauses until stopped. on: message(data), state("connecting" | "live" | "waiting", seconds). */
  const lasting = (path, on) => {
    let socket, timer, tries = 0, stopped = false
    const open = () => {
      clearTimeout(timer)
      if (stopped || (socket && socket.readyState < 2)) return
      on.state("connecting", 0)
      const url = new URL(path(), location.href)
      url.protocol = location.protocol === "https:" ? "wss:" : "ws:"
      const mine = (socket = new WebSocket(url))
      let since = Infinity
      mine.onopen = () => { since = Date.now(); on.state("live", 0) }
      mine.onmessage = event => { tries = 0; if (mine === socket) on.message(JSON.parse(event.data)) }
      mine.onclose = event => {
        if (mine !== socket || stopped || on.closed?.(event)) return
        /* Signed out, or no longer allowed: the page itself knows what to say. One refused at once is not asked again and again. */
        if (event.code >= 4401 && event.code <= 4404) { stopped = true; if (Date.now() - since > 1000) location.reload(); return }
        const pause = Math.min(15000, 500 * 2 ** tries++) * (0.7 + Math.random() * 0.6)
        on.state("waiting", Math.ceil(pause / 1000))
        timer = setTimeout(open, pause)
      }
    }
    const again = () => { if (socket) { const old = socket; socket = undefined; old.close() } open() }
    const wake = () => { if (!document.hidden && !stopped && socket?.readyState > 1) open() }
    addEventListener("online", wake)
    document.addEventListener("visibilitychange", wake)
    addEventListener("pagehide", () => socket?.close())
    addEventListener("pageshow", e => { if (e.persisted) wake() })
    open()
    return { again, stop() { stopped = true; clearTimeout(timer); socket?.close() } }
  }

  const tell = (name, wait) => {
    let timer
    return () => { timer ??= setTimeout(() => { timer = undefined; document.body.dispatchEvent(new CustomEvent(name)) }, wait) }
  }

  /* A list with data-stream hears of changes and fetches itself; while the socket is down and something runs, it asks every 5 s. */
  const follow = list => {
    const changed = tell("deployments-changed", 250)
    let up = false
    lasting(() => list.dataset.stream, {
      message: data => { if (data.type === "deployments_changed") changed() },
      state: state => { if (state === "live" && up === null) changed(); up = state === "live" ? true : up === true ? null : up },
    })
    setInterval(() => { if (up !== true && !document.hidden && document.querySelector("[data-active]")) changed() }, 5000)
  }

  document.addEventListener("DOMContentLoaded", () => {
    const list = document.querySelector("[data-stream]")
    if (list) follow(list)
  })
  Object.assign(globalThis.devflow, { lasting, tell })
})()
