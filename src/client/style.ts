/**
 * Styles of the element. Its private variables begin with an underscore, so that they differ from
 * the page's variables.
 */
export const elementStyle: string = `
:host {
  --_accent: var(--delayed-upload-accent, light-dark(#0b6e4f, #4cc497));
  --_bad: var(--delayed-upload-error, light-dark(#b3261e, #ff8a80));
  --_muted: var(--delayed-upload-muted, light-dark(#5d6772, #9aa5b1));
  --_line: var(--delayed-upload-line, light-dark(#dfe3e8, #363c44));
  display: block; font: inherit; color-scheme: inherit;
}
:host([hidden]) { display: none }
:host([state]:not([state=gone])) slot { display: none }
ul { list-style: none; margin: 0; padding: 0 }
li { display: grid; grid-template-columns: auto 1fr auto auto; align-items: center; gap: .25rem .6rem; padding: .35rem 0 }
[part~=preview] {
  inline-size: var(--delayed-upload-preview, 2.5rem); block-size: var(--delayed-upload-preview, 2.5rem); overflow: hidden;
  border-radius: var(--delayed-upload-radius, 6px); background: var(--_line); color: var(--_muted); display: grid; place-items: center; grid-row: span 2;
}
[part~=image] { inline-size: 100%; block-size: 100%; object-fit: cover }
[part~=name] { min-inline-size: 0; overflow-wrap: anywhere }
[part~=size] { color: var(--_muted); font-size: .875em; white-space: nowrap }
[part~=state] { font-size: .75em; padding: .1em .7em; border-radius: 99px; background: var(--_line); white-space: nowrap }
li[data-state=attached] [part~=state] { background: color-mix(in srgb, var(--_accent) 22%, transparent) }
li[data-state=failed] [part~=state] { background: color-mix(in srgb, var(--_bad) 22%, transparent) }
[part~=progress] { grid-column: 2 / -1; inline-size: 100%; block-size: 6px; accent-color: var(--_accent) }
[part~=error] { grid-column: 2 / -1; color: var(--_bad); font-size: .875em; overflow-wrap: anywhere }
[hidden] { display: none }
.spoken { position: absolute; inline-size: 1px; block-size: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
`
