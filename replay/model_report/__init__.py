"""The report on the models: what their months said (`build`), and a page that opens offline (`html`)."""
