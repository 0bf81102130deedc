// A table of claims and verdicts. Its links are real addresses; a plain click goes there within the open session.

export default function ({ data, parentElement, setTriggerValue }) {
  let table = parentElement.querySelector("table");
  if (!table) {
    table = document.createElement("table");
    table.className = "repdiss-findings";
    parentElement.append(table);
  }
  const shown = JSON.stringify(data);
  if (table.dataset.shown === shown) return;
  table.dataset.shown = shown;
  const head = make("tr", {}, ["claim", "models", "verdict", "effect", "95 % interval", "figure"].map((name) => make("th", { scope: "col" }, [name])));
  const bodies = data.claims.map((claim) => make("tbody", {}, rows(claim, setTriggerValue)));
  table.replaceChildren(make("caption", {}, [data.caption]), make("thead", {}, [head]), ...bodies);
}

function rows(claim, setTriggerValue) {
  return claim.rows.map((row, i) => {
    const cells = [];
    if (i === 0) {
      const words = claim.ours ? [claim.statement, " ", make("span", { className: "repdiss-ours" }, ["our question"])] : [claim.statement];
      cells.push(make("th", { scope: "rowgroup", rowSpan: claim.rows.length }, words));
    }
    cells.push(make("td", { className: "repdiss-models" }, [row.models]));
    cells.push(make("td", {}, [make("span", { className: `repdiss-verdict repdiss-${row.kind}` }, [row.verdict]), " ", make("small", {}, [`rule: ${row.rule}`])]));
    if (row.effect) {
      cells.push(make("td", { className: "repdiss-number" }, [row.effect, " ", make("small", {}, [row.where])]));
      cells.push(make("td", { className: "repdiss-number" }, [row.interval]));
    } else {
      cells.push(make("td", { colSpan: 2 }, [make("small", {}, [row.found])]));
    }
    if (row.span) cells.push(make("td", { rowSpan: row.span }, [link(row, setTriggerValue)]));
    return make("tr", {}, cells);
  });
}

function link(row, setTriggerValue) {
  const anchor = make("a", { href: row.href, ariaLabel: `${row.figure}: ${row.models}` }, [`${row.figure} →`]);
  anchor.onclick = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    setTriggerValue("go", row.number);
  };
  return anchor;
}

function make(name, properties, children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}
