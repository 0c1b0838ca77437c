<?php
declare(strict_types=1);

if ($_SERVER["REQUEST_URI"] === "/healthz") {
    header("Content-Type: application/json");
    exit('{"status":"ok"}');
}
?>
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Hello from PHP</title>
  <style>
    :root { color-scheme: light dark; --ink: #17171c; --soft: #5c5c6b; --paper: #fbfbfd; --line: #e4e4ec; --accent: #5a66b8; }
    @media (prefers-color-scheme: dark) { :root { --ink: #f1f1f6; --soft: #a3a3b4; --paper: #101014; --line: #2a2a34; --accent: #a3acf0; } }
    * { box-sizing: border-box; }
    body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 2rem; color: var(--ink);
      background: radial-gradient(60rem 32rem at 50% -12rem, color-mix(in srgb, var(--accent) 22%, transparent), transparent) var(--paper);
      font: 1rem/1.6 ui-sans-serif, system-ui, "Segoe UI", sans-serif; }
    main { max-width: 34rem; text-align: center; }
    .live { display: inline-flex; align-items: center; gap: .5rem; padding: .3rem .8rem; border: 1px solid var(--line);
      border-radius: 99rem; font-size: .85rem; color: var(--soft); }
    .live::before { content: ""; width: .55rem; height: .55rem; border-radius: 50%; background: #30a46c; animation: breathe 2.4s ease-in-out infinite; }
    @keyframes breathe { 50% { opacity: .35; } }
    @media (prefers-reduced-motion: reduce) { .live::before { animation: none; } }
    h1 { font-size: clamp(2.4rem, 8vw, 4rem); line-height: 1.05; letter-spacing: -.035em; margin: 1.5rem 0 1rem; text-wrap: balance; }
    p { color: var(--soft); margin: 0 auto; text-wrap: pretty; }
    dl { display: flex; flex-wrap: wrap; justify-content: center; gap: .75rem; margin: 2.5rem 0 0; }
    dl div { min-width: 9rem; padding: .8rem 1.1rem; text-align: left; border: 1px solid var(--line); border-radius: .8rem;
      background: color-mix(in srgb, var(--paper) 70%, transparent); }
    dt { font-size: .78rem; color: var(--soft); }
    dd { margin: 0; font-variant-numeric: tabular-nums; font-weight: 600; }
    code { font: .92em ui-monospace, monospace; color: var(--accent); }
  
  </style>
</head>
<body>
  <main>
    <span class="live">Served by DevFlow</span>
    <h1>Still here, still quick</h1>
    <p>Plain PHP from <code>public/index.php</code>. Files outside of <code>public/</code> are never handed out.</p>
    <dl>
      <div><dt>Deployment</dt><dd><?= htmlspecialchars(getenv("DEVFLOW_DEPLOYMENT") ?: "–") ?></dd></div>
      <div><dt>PHP</dt><dd><?= PHP_VERSION ?></dd></div>
    </dl>
  </main>
</body>
</html>
