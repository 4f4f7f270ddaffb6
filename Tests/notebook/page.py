"""A notebook open in JupyterLab, driven as a person would: menus, the toolbar, the keyboard."""
import time

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

ERROR = '.jp-RenderedText[data-mime-type="application/vnd.jupyter.error"], .jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]'


class NotebookPage:
    def __init__(self, browser, address):
        self.browser = browser
        browser.get(address)
        self.wait(60, lambda: self.all(".jp-NotebookPanel .jp-CodeCell"), "the notebook did not open")
        self.wait(60, lambda: self.all('.jp-Notebook-ExecutionIndicator[data-status="idle"]'), "the kernel did not become idle")

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, seconds, condition, otherwise):
        return WebDriverWait(self.browser, seconds, poll_frequency=0.25).until(lambda _: condition(), otherwise)

    def menu(self, bar, item):
        """Clicks an entry of the menu bar."""
        self.press(next(e for e in self.all(".lm-MenuBar-item") if e.text == bar))
        entries = lambda: [e for e in self.all(".lm-Menu-item") if e.text.split("\n")[0] == item]
        self.press(self.wait(10, entries, f"the menu has no entry '{item}'")[0])

    def press(self, element):
        """Moves the mouse there and clicks; menus light up under the mouse before they take a click."""
        ActionChains(self.browser).move_to_element(element).pause(0.2).click().perform()

    def toolbar(self, command):
        """Clicks a button of the notebook's toolbar, by the command behind it."""
        self.wait(10, lambda: self.all(f'.jp-NotebookPanel-toolbar [data-command="{command}"]'), f"no button for {command}")[0].click()

    def prompts(self):
        """The execution counts of the code cells, as shown: '[1]:', '[*]:', '[ ]:'."""
        return self.browser.execute_script(
            "return [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.textContent)")

    def errors(self):
        return [e.text for e in self.all(ERROR)]

    def run_all(self, seconds):
        """Runs every cell and waits for the last to have its number."""
        self.menu("Run", "Run All Cells")
        self.wait(seconds, lambda: self.errors() or all(p.strip("[]: *").isdigit() for p in self.prompts()), "the cells did not end")

    def type_and_run(self, code):
        """Types into the last cell and presses Shift-Enter."""
        last = self.all(".jp-CodeCell .cm-content")[-1]
        last.click()
        last.send_keys(code)
        last.send_keys(Keys.ESCAPE)  # closes a completer that the typing opened
        last.click()
        last.send_keys(Keys.SHIFT, Keys.ENTER)

    def output(self, index):
        """The text of one code cell's output area."""
        areas = self.browser.execute_script(
            "return [...document.querySelectorAll('.jp-CodeCell')].map(c => [...c.querySelectorAll('.jp-OutputArea-output')]"
            ".map(o => o.textContent).join('\\n'))")
        return areas[index]

    def images(self):
        """For each picture in an output: whether the browser has decoded it, and its size in pixels."""
        return self.browser.execute_script(
            "return [...document.querySelectorAll('.jp-OutputArea-output img')].map(i => ({loaded: i.complete && i.naturalWidth > 0,"
            " width: i.naturalWidth, height: i.naturalHeight, shown: i.getBoundingClientRect().width,"
            " cell: [...document.querySelectorAll('.jp-CodeCell')].indexOf(i.closest('.jp-CodeCell'))}))")

    def screenshot(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.browser.save_screenshot(str(path))

    def scroll_to_cell(self, index):
        self.browser.execute_script(
            "document.querySelectorAll('.jp-CodeCell')[arguments[0]].scrollIntoView({block: 'start'})", index)
        time.sleep(0.5)
