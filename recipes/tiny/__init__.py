"""The tiny zoo: six small vision-language models and a guide, trained from scratch on scenes."""
