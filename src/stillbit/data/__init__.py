"""Images in: folders, tars, Hugging Face data sets, digits and fractals; crops and loaders without hidden chance."""
